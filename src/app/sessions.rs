//! Builds what sessions share, and starts the health actor.

use std::sync::Arc;

use actix::Addr;

use crate::app::answers::Answers;
use crate::app::context::BuildContext;
use crate::health::{HealthActor, HealthParts};
use crate::llm::prompt::system_prompt::suggestions;
use crate::llm::upstream::server::window::TokenLimits;
use crate::persistence::PersistenceActor;
use crate::protocol::server::{PrivacyInfo, ResumeInfo};
use crate::resume::links::link_hosts;
use crate::session::state::question_validator::QuestionValidator;
use crate::session::{ActorHandles, SessionContext, SessionLimits, SessionTimeouts};
use crate::settings::{PageSettings, Settings};
use crate::supervision::supervisor;

pub(super) fn start_health(
    context: &BuildContext<'_>,
    persistence: &Addr<PersistenceActor>,
    answers: &Answers,
) -> Addr<HealthActor> {
    let parts = HealthParts {
        storage: context.address_of(persistence),
        writer: context.address_of(persistence),
        model: context.address_of(&answers.llm),
        metrics: Arc::clone(&context.metrics),
        supervision: Arc::clone(&context.supervision),
        registry: Arc::clone(&context.registry),
        budget: answers.router.budget().cloned(),
        resume: format!("{} sections", context.resume.sections.len()),
    };
    supervisor::start(&context.supervision, || HealthActor::new(parts))
}

pub(super) fn session_context(
    context: &BuildContext<'_>,
    persistence: &Addr<PersistenceActor>,
    answers: &Answers,
) -> Arc<SessionContext> {
    let (settings, resume) = (context.settings, context.resume);
    Arc::new(SessionContext {
        actors: ActorHandles {
            generate_answer: context.address_of(&answers.llm),
            find_generation: context.address_of(&answers.llm),
            follow_remote_turn: context.address_of(&answers.llm),
            create_session: context.address_of(persistence),
            find_epochs: context.address_of(persistence),
            load_budget_usage: context.address_of(persistence),
            resume_session: context.address_of(persistence),
            load_history: context.address_of(persistence),
            find_turn: context.address_of(persistence),
            mark_interrupted: context.address_of(persistence),
            save_feedback: context.address_of(persistence),
            forget_session: context.address_of(persistence),
        },
        instance_id: context.instance_id.clone(),
        metrics: Arc::clone(&context.metrics),
        supervision: Arc::clone(&context.supervision),
        registry: Arc::clone(&context.registry),
        question_validator: QuestionValidator::new(settings.limits.suspicious_content, context.counter),
        limits: SessionLimits {
            requests_per_minute: settings.limits.requests_per_minute,
            tokens: token_limits(settings),
        },
        timeouts: SessionTimeouts {
            ttl: settings.session.ttl,
            idle_timeout: settings.session.idle_timeout,
            heartbeat_interval: settings.session.heartbeat_interval,
            first_frame_timeout: settings.session.first_frame_timeout,
            message_timeout: settings.session.message_timeout,
        },
        resume: ResumeInfo { name: resume.name.as_str().into(), revision: resume.revision().into() },
        suggestions: suggestions(resume).into(),
        privacy: privacy_info(&settings.page),
        link_hosts: link_hosts(resume).into(),
        system_prompt: Arc::clone(&context.system_prompt),
        router: Arc::clone(&answers.router),
    })
}

/// Returns the configured limits on the tokens of an exchange.
pub(super) fn token_limits(settings: &Settings) -> TokenLimits {
    TokenLimits { context: settings.tokens.max_context, response: settings.tokens.max_response }
}

/// Returns what visitors are told about their data; `None` if the owner has set nothing.
fn privacy_info(settings: &PageSettings) -> Option<PrivacyInfo> {
    let url = settings.privacy_url.as_deref().map(Arc::from);
    let retention_days = settings.retention_days;
    (url.is_some() || retention_days.is_some()).then_some(PrivacyInfo { url, retention_days })
}

//! What all sessions of the process share.

use std::sync::Arc;

use crate::llm::messages::{FindGeneration, FollowRemoteTurn, GenerateAnswer};
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::llm::router::Router;
use crate::mailbox::Address;
use crate::persistence::messages::{
    CreateSession, FindEpochs, FindTurn, ForgetSession, LoadBudgetUsage, LoadHistory, MarkInterrupted,
    ResumeSession, SaveFeedback,
};
use crate::protocol::server::{PrivacyInfo, ResumeInfo};
use crate::session::limits::{SessionLimits, SessionTimeouts};
use crate::session::registry::Registry;
use crate::session::state::question_validator::QuestionValidator;
use crate::supervision::Supervision;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::Metrics;

/// What all sessions share.
pub struct SessionContext {
    pub actors: ActorHandles,
    pub instance_id: InstanceId,
    pub metrics: Arc<Metrics>,
    pub supervision: Arc<Supervision>,
    pub registry: Arc<Registry>,
    pub question_validator: QuestionValidator,
    pub limits: SessionLimits,
    pub timeouts: SessionTimeouts,
    /// The resume as the client sees it.
    pub resume: ResumeInfo,
    /// Questions that the client can suggest to the visitor.
    pub suggestions: Arc<[String]>,
    /// What visitors are told about their data.
    pub privacy: Option<PrivacyInfo>,
    /// The hosts of the links in the resume.
    pub link_hosts: Arc<[String]>,
    pub system_prompt: Arc<SystemPrompt>,
    pub router: Arc<Router>,
}

/// The addresses of the actors that a session sends requests to.
pub struct ActorHandles {
    pub generate_answer: Address<GenerateAnswer>,
    pub find_generation: Address<FindGeneration>,
    pub follow_remote_turn: Address<FollowRemoteTurn>,
    pub create_session: Address<CreateSession>,
    pub find_epochs: Address<FindEpochs>,
    pub load_budget_usage: Address<LoadBudgetUsage>,
    pub resume_session: Address<ResumeSession>,
    pub load_history: Address<LoadHistory>,
    pub find_turn: Address<FindTurn>,
    pub mark_interrupted: Address<MarkInterrupted>,
    pub save_feedback: Address<SaveFeedback>,
    pub forget_session: Address<ForgetSession>,
}

//! Getting one answer: asks whom the sources choose, again or another where that helps, and quotes the resume else.

use std::borrow::Cow;
use std::time::Duration;

use slog::warn;
use tokio::time::{Instant, sleep, timeout};

use crate::budget::Reservation;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{AnswerMode, Usage};
use crate::llm::excerpts::Excerpts;
use crate::llm::messages::AskModel;
use crate::llm::prompt::Prompt;
use crate::llm::resilience::retry::{Next, RetryPolicy, Tries};
use crate::llm::router::{Choice, Trial};
use crate::llm::stream::generation::Generation;
use crate::llm::turn::checkpoint::Saved;
use crate::llm::turn::task::Answering;
use crate::llm::upstream::client::{Ask, UpstreamClient};
use crate::llm::upstream::completion::{Finish, SourceError};
use crate::llm::upstream::error_class::Fault;
use crate::persistence::STORE_TIMEOUT;
use crate::telemetry::metrics::{DegradedBy, GaugeGuard, RetryKind};

/// Answers a question into `generation`. Dropping the future stops whoever is being asked.
pub(crate) async fn answer(
    answering: &Answering,
    ask: &AskModel,
    generation: &Generation,
    reservation: Option<&Reservation>,
) -> Result<Finish, SourceError> {
    let mut asking = Asking {
        answering,
        ask,
        generation,
        reservation,
        prompt: Cow::Borrowed(&ask.prompt),
        model: 0,
        first_word_by: Instant::now() + answering.first_word_timeout,
        tries: None,
    };
    let mut failed = None;
    loop {
        let choice = answering.sources.choose(Instant::now().into_std());
        match (choice, failed.take()) {
            // Quotes do not go on where a model's words ended.
            (Choice::Excerpts(..) | Choice::Neither(_), Some(error)) if !generation.is_empty() => {
                return Err(error);
            }
            (Choice::Excerpts(excerpts, reason), _) => {
                return Ok(quoted(answering, ask, generation, excerpts, reason).await);
            }
            (Choice::Neither(_), Some(error)) => return Err(error),
            (Choice::Neither(failure), None) => return Err(SourceError::nobody(failure)),
            (Choice::Model(client, trial), _) => {
                let error = match asking.try_once(client, trial).await {
                    Ok(finish) => return Ok(finish),
                    Err(error) => error,
                };
                // With this failure it may have become one too many.
                let shut = answering.sources.is_shut(Instant::now().into_std());
                if shut || !asking.prepare_another(client, &error).await {
                    return asking.give_up(error).await;
                }
                failed = Some(error);
            }
        }
    }
}

/// Answers a question out of the resume, instead of the model for a reason or because there is none.
pub(crate) async fn quote(
    answering: &Answering,
    ask: &AskModel,
    generation: &Generation,
    reason: Option<DegradedBy>,
) -> Result<Finish, SourceError> {
    match answering.sources.instead(reason, ErrorCode::InternalError.into()) {
        Choice::Excerpts(excerpts, reason) => Ok(quoted(answering, ask, generation, excerpts, reason).await),
        Choice::Neither(failure) => Err(SourceError::nobody(failure)),
        Choice::Model(..) => Err(SourceError::nobody(ErrorCode::InternalError.into())),
    }
}

async fn quoted(
    answering: &Answering,
    ask: &AskModel,
    generation: &Generation,
    excerpts: &Excerpts,
    reason: Option<DegradedBy>,
) -> Finish {
    if let Some(reason) = reason {
        answering.metrics.answer.count_fallback(reason);
    }
    generation.answer_as(AnswerMode::Excerpts);
    excerpts.answer(&ask.prompt, generation).await
}

struct Asking<'a> {
    answering: &'a Answering,
    ask: &'a AskModel,
    generation: &'a Generation,
    /// What is set aside for the answer.
    reservation: Option<&'a Reservation>,
    /// Owned once it had to be shortened.
    prompt: Cow<'a, Prompt>,
    model: usize,
    first_word_by: Instant,
    tries: Option<Tries>,
}

impl Asking<'_> {
    async fn try_once(&self, client: &UpstreamClient, trial: Trial<'_>) -> Result<Finish, SourceError> {
        let _in_flight = GaugeGuard::new(&self.answering.metrics.upstream.requests_in_flight);
        let ask = Ask {
            prompt: &self.prompt,
            session: self.ask.session_id,
            model: self.model,
            first_word_by: self.first_word_by,
        };
        let answered = client.answer(ask, self.generation, &|| trial.first_word()).await;
        match &answered {
            Ok(_) => trial.succeeded(),
            Err(error) => {
                if trial.failed(error, Instant::now().into_std()) {
                    warn!(self.ask.log, "the model's server is not asked for a while");
                }
            }
        }
        answered
    }

    /// Whether to ask once more: whom, with what, and after a wait, which is over when this returns.
    async fn prepare_another(&mut self, client: &UpstreamClient, error: &SourceError) -> bool {
        let (kind, after) = match self.shorter(error) {
            Some(shorter) => {
                self.prompt = Cow::Owned(shorter);
                (RetryKind::ShorterPrompt, Duration::ZERO)
            }
            None => match self.next(client, error) {
                Next::GiveUp => return false,
                Next::Ask { model, after } => {
                    self.model = model;
                    (if model == 0 { RetryKind::SameModel } else { RetryKind::OtherModel }, after)
                }
            },
        };
        if error.may_be_charged && !self.can_pay_once_more() {
            return false;
        }
        self.answering.metrics.upstream.count_retry(kind);
        warn!(self.ask.log, "asking once more for the same answer"; "how" => kind.as_str(), "cause" => %error,
            "void_bytes" => self.generation.len(), "may_be_charged_twice" => error.may_be_charged,
            "source_id" => self.generation.source_id().as_deref());
        if error.may_be_charged {
            let completion_tokens = self.answering.counter.count(&self.generation.text());
            self.generation.note_void(Usage {
                prompt_tokens: self.prompt.tokens,
                completion_tokens,
                cost: None,
            });
        }
        self.generation.forget_source_id();
        self.generation.start_over();
        if !self.generation.is_empty() {
            // After a crash nobody must look up the delta of one attempt in another, so what is stored forgets its numbers first.
            // Without its word there is no other attempt. The write is made all the same.
            let saved = timeout(STORE_TIMEOUT, self.answering.save_partial(self.ask, self.generation)).await;
            if !matches!(saved, Ok(Saved::Kept)) {
                return false;
            }
        }
        sleep(after).await;
        true
    }

    /// What was set aside may be used up by the request before; the next one needs as much again.
    fn can_pay_once_more(&self) -> bool {
        let Some(reservation) = self.reservation else { return true };
        let extended =
            reservation.extend(Timestamp::now(), self.prompt.tokens, self.prompt.max_response_tokens);
        if let Err(reached) = &extended {
            self.answering.metrics.budget.count_rejection(reached.scope);
            warn!(self.ask.log, "there is no budget left to ask once more for the same answer";
                "ceiling" => reached.scope.as_str());
        }
        extended.is_ok()
    }

    fn next(&mut self, client: &UpstreamClient, error: &SourceError) -> Next {
        let now = Instant::now();
        if !self.generation.is_empty() {
            // The first word was in time; what replaces it gets the same time.
            self.first_word_by = now + self.answering.first_word_timeout;
        }
        let policy = RetryPolicy { retries: self.answering.max_retries, models: client.models() };
        let tries = self.tries.get_or_insert_with(|| Tries::new(policy));
        // Without randomness everybody waits the same.
        let jitter = getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX));
        tries.after(error.failed(), now.into_std(), self.first_word_by.into_std(), jitter)
    }

    /// A prompt for a model that counts more tokens than we do: without the older half of the conversation. Once.
    fn shorter(&self, error: &SourceError) -> Option<Prompt> {
        match (&self.prompt, error.fault) {
            (Cow::Borrowed(prompt), Fault::PromptTooLong) => {
                prompt.without_older_half(|text| self.answering.counter.count(text))
            }
            _ => None,
        }
    }

    async fn give_up(&self, error: SourceError) -> Result<Finish, SourceError> {
        if !error.fault.consequences().instead || !self.generation.is_empty() {
            return Err(error);
        }
        match self.answering.sources.instead(Some(DegradedBy::ModelFailed), error.failure) {
            Choice::Excerpts(excerpts, reason) => {
                warn!(self.ask.log, "the resume answers instead of the model"; "cause" => %error);
                Ok(quoted(self.answering, self.ask, self.generation, excerpts, reason).await)
            }
            _ => Err(error),
        }
    }
}

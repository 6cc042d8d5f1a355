//! What the replies of the other actors say of their health.

use std::time::Duration;

use tokio::time::Instant;

use super::HealthStatus;
use crate::domain::clock::Timestamp;
use crate::domain::turn::AnswerMode;
use crate::llm::messages::ModelCondition;
use crate::llm::resilience::circuit_breaker::{BreakerState, MAX_PAUSE};
use crate::llm::upstream::api_key::KeyError;
use crate::mailbox::AskError;
use crate::persistence::StorageError;
use crate::persistence::messages::WriterReport;

/// What a check found, and how long it took.
pub(super) type Finding = (HealthStatus, String, Duration);

/// A reply, and after how long it came or was given up.
pub(super) type Timed<T> = (Result<T, AskError>, Duration);

/// The newest results of the checks.
pub(super) struct Newest {
    pub(super) asked_at: Instant,
    pub(super) database: Finding,
    pub(super) llm: Finding,
    pub(super) actors: Finding,
}

/// A file that another process has locked can be read all the while, so what the writer has to say counts as well.
pub(super) fn database(
    (reply, took): Timed<Result<Duration, StorageError>>,
    writer: &Timed<WriterReport>,
) -> Finding {
    let unhealthy = |detail: &str| (HealthStatus::Unhealthy, detail.to_owned(), took);
    match reply {
        Ok(Ok(_)) if writer.0.as_ref().is_ok_and(|report| report.database_unavailable) => {
            unhealthy("nothing can be written")
        }
        Ok(Ok(latency)) => (HealthStatus::Healthy, "a query was answered".to_owned(), latency),
        // What failed is in the log; a health page may be public.
        Ok(Err(_)) => unhealthy("no query is answered"),
        Err(AskError::Timeout) => unhealthy("no answer in time"),
        Err(AskError::Closed) => unhealthy("the persistence actor failed"),
    }
}

/// Whether every shared actor takes messages out of its mailbox, whatever it has to say.
pub(super) fn actors(writer: &Timed<WriterReport>, model: &Timed<ModelCondition>) -> Finding {
    let took = writer.1.max(model.1);
    let silent: Vec<&str> = [("persistence", writer.0.is_err()), ("llm", model.0.is_err())]
        .iter()
        .filter(|it| it.1)
        .map(|it| it.0)
        .collect();
    match silent.as_slice() {
        [] => (HealthStatus::Healthy, "every actor answered".to_owned(), took),
        silent => (HealthStatus::Unhealthy, format!("no answer from {}", silent.join(", ")), took),
    }
}

pub(super) fn answers((reply, took): Timed<ModelCondition>) -> Finding {
    match reply {
        Ok(condition) => {
            let ModelCondition { answering, waiting, .. } = condition;
            let (status, mode, breaker) = breaker(&condition);
            let key = match &condition.key {
                None => String::new(),
                Some(Ok(report)) => format!("; key: {}", report.outlook(Timestamp::now())),
                Some(Err(KeyError::Refused)) => "; key: refused".to_owned(),
                // What kept it from answering is in the log; a health page may be public.
                Some(Err(KeyError::Unknown(_))) => "; key: the server does not tell".to_owned(),
            };
            let detail = format!("{}: {answering} answering, {waiting} waiting{breaker}{key}", mode.as_str());
            (status, detail, took)
        }
        Err(AskError::Timeout) => (HealthStatus::Unhealthy, "no answer in time".to_owned(), took),
        Err(AskError::Closed) => (HealthStatus::Unhealthy, "the llm actor failed".to_owned(), took),
    }
}

/// Who answers, and how the model's server is, as questions have found out: nothing is asked of it for a health check.
fn breaker(condition: &ModelCondition) -> (HealthStatus, AnswerMode, String) {
    let Some((breaker, failures)) = condition.breaker else {
        return (HealthStatus::Healthy, condition.mode, String::new());
    };
    // Quotes are less than answers; without them nobody is there to answer.
    let down = match condition.mode {
        AnswerMode::Excerpts => HealthStatus::Degraded,
        AnswerMode::Live => HealthStatus::Unhealthy,
    };
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    let (status, breaker) = match breaker {
        BreakerState::Closed => {
            let failed = if failures > 0 { format!(" after {failures} failures") } else { String::new() };
            (HealthStatus::Healthy, format!("closed{failed}"))
        }
        BreakerState::Open { age, pause } => {
            let (age, pause) = (seconds(age), seconds(pause));
            (down, format!("open for {age} after {failures} failures, next try in {pause}"))
        }
        // Once it is long ago somebody has to try: an instance that gets no visitors would stay unwell for ever.
        BreakerState::HalfOpen { age, probing } => {
            let status = if age < MAX_PAUSE { HealthStatus::Degraded } else { HealthStatus::Healthy };
            let next = if probing { "a question is finding out" } else { "the next question finds out" };
            (status, format!("half open for {} after {failures} failures, {next}", seconds(age)))
        }
    };
    let newest = condition.first_word.map(|after| format!("; newest first word after {}", seconds(after)));
    (status, condition.mode, format!("; breaker {breaker}{}", newest.unwrap_or_default()))
}

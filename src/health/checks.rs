//! Evaluates the replies of the other actors.

use std::time::Duration;

use tokio::time::Instant;

use super::{Check, HealthStatus};
use crate::domain::clock::Timestamp;
use crate::domain::turn::AnswerMode;
use crate::llm::messages::ModelStatus;
use crate::llm::resilience::circuit_breaker::{BreakerState, BreakerStatus, MAX_PAUSE, OutageCause};
use crate::llm::resilience::failure_share::FailureCount;
use crate::llm::resilience::refusal_streak::CommonRefusal;
use crate::llm::upstream::account::api_key::{KeyError, KeyReport};
use crate::llm::upstream::server::state::ServerStatus;
use crate::mailbox::AskError;
use crate::persistence::StorageError;
use crate::persistence::messages::WriterReport;

/// The result of a check.
pub(super) struct Finding {
    pub(super) status: HealthStatus,
    /// A sentence for the operator.
    pub(super) detail: String,
    /// How long the check took.
    pub(super) latency: Duration,
}

/// A reply, with the time from the request to the reply or to the timeout.
pub(super) struct TimedReply<T> {
    pub(super) reply: Result<T, AskError>,
    pub(super) elapsed: Duration,
}

/// The newest results of the checks.
pub(super) struct Findings {
    pub(super) started_at: Instant,
    pub(super) database: Finding,
    pub(super) llm: Finding,
    pub(super) actors: Finding,
}

impl Finding {
    pub(super) fn new(status: HealthStatus, detail: impl Into<String>, latency: Duration) -> Self {
        Self { status, detail: detail.into(), latency }
    }

    fn healthy(detail: impl Into<String>, latency: Duration) -> Self {
        Self::new(HealthStatus::Healthy, detail, latency)
    }

    fn unhealthy(detail: impl Into<String>, latency: Duration) -> Self {
        Self::new(HealthStatus::Unhealthy, detail, latency)
    }

    /// Returns the finding as part of a report, for a check that started `age` ago.
    pub(super) fn to_check(&self, age: Duration) -> Check {
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        Check {
            status: self.status,
            detail: self.detail.clone(),
            latency_ms: millis(self.latency),
            age_ms: millis(age),
            mailboxes: None,
        }
    }
}

/// Checks the database. A database file that another process has locked can still be read, so the
/// status of the writer counts as well.
pub(super) fn database(
    storage: TimedReply<Result<Duration, StorageError>>,
    writer: &TimedReply<WriterReport>,
) -> Finding {
    let is_writer_blocked = writer.reply.as_ref().is_ok_and(|report| report.database_unavailable);
    let elapsed = storage.elapsed;
    match storage.reply {
        Ok(Ok(_)) if is_writer_blocked => Finding::unhealthy("nothing can be written", elapsed),
        Ok(Ok(latency)) => Finding::healthy("a query was answered", latency),
        // The error is in the log; a health report may be public.
        Ok(Err(_)) => Finding::unhealthy("no query is answered", elapsed),
        Err(AskError::Timeout) => Finding::unhealthy("no answer in time", elapsed),
        Err(AskError::Closed) => Finding::unhealthy("the persistence actor failed", elapsed),
    }
}

/// Checks that every shared actor processes messages, regardless of the content of its reply.
pub(super) fn actors(writer: &TimedReply<WriterReport>, model: &TimedReply<ModelStatus>) -> Finding {
    let latency = writer.elapsed.max(model.elapsed);
    let mut unresponsive = Vec::new();
    if writer.reply.is_err() {
        unresponsive.push("persistence");
    }
    if model.reply.is_err() {
        unresponsive.push("llm");
    }
    match unresponsive.as_slice() {
        [] => Finding::healthy("every actor answered", latency),
        unresponsive => Finding::unhealthy(format!("no answer from {}", unresponsive.join(", ")), latency),
    }
}

/// Checks whether questions are answered. Sends no request upstream: the circuit breaker reflects
/// the results of the newest questions.
pub(super) fn llm(model: TimedReply<ModelStatus>) -> Finding {
    let latency = model.elapsed;
    let status = match model.reply {
        Ok(status) => status,
        Err(AskError::Timeout) => return Finding::unhealthy("no answer in time", latency),
        Err(AskError::Closed) => return Finding::unhealthy("the llm actor failed", latency),
    };
    let breaker = status.breaker.as_ref().map(|breaker| {
        let newest =
            status.time_to_first_text.map(|time| format!("; newest first word after {}", seconds(time)));
        format!("; breaker {}{}", describe_breaker(breaker), newest.unwrap_or_default())
    });
    let detail = format!(
        "{}: {} answering, {} waiting{}{}{}",
        status.mode.as_str(),
        status.occupancy.in_use,
        status.occupancy.waiting,
        breaker.unwrap_or_default(),
        status.key.as_ref().map(describe_key).unwrap_or_default(),
        status.server.as_ref().map(describe_server).unwrap_or_default()
    );
    Finding::new(llm_status(&status), detail, latency)
}

fn llm_status(status: &ModelStatus) -> HealthStatus {
    let is_prompt_lost = |server: &ServerStatus| server.is_window_too_small || server.are_prompts_cut;
    let server = match status.server.as_ref().is_some_and(is_prompt_lost) {
        true => HealthStatus::Degraded,
        false => HealthStatus::Healthy,
    };
    breaker_health(status).max(server)
}

fn breaker_health(status: &ModelStatus) -> HealthStatus {
    let Some(breaker) = &status.breaker else { return HealthStatus::Healthy };
    let concerns_all = breaker.cause.as_ref().is_none_or(|cause| cause.only_address().is_none());
    match (breaker.state, status.mode) {
        (BreakerState::Closed, _) => HealthStatus::Healthy,
        // Excerpts are a degraded answer; without them no question is answered.
        (BreakerState::Open { .. }, AnswerMode::Live) if concerns_all => HealthStatus::Unhealthy,
        (BreakerState::Open { .. }, _) => HealthStatus::Degraded,
        // After a long time the instance counts as healthy. Otherwise an instance without visitors,
        // which sends no probe, would stay degraded forever.
        (BreakerState::HalfOpen { age, .. }, _) if age < MAX_PAUSE => HealthStatus::Degraded,
        (BreakerState::HalfOpen { .. }, _) => HealthStatus::Healthy,
    }
}

fn describe_breaker(breaker: &BreakerStatus) -> String {
    let cause = breaker.cause.as_ref().map(describe_cause).unwrap_or_default();
    match breaker.state {
        BreakerState::Closed if breaker.newest.failures > 0 => {
            let FailureCount { failures, requests } = breaker.newest;
            format!("closed after {failures} failures in {requests} requests")
        }
        BreakerState::Closed => "closed".to_owned(),
        BreakerState::Open { age, pause } => {
            format!("open for {} {cause}, next try in {}", seconds(age), seconds(pause))
        }
        BreakerState::HalfOpen { age, probing } => {
            let next = if probing { "a probe is in flight" } else { "the next question is the probe" };
            format!("half open for {} {cause}, {next}", seconds(age))
        }
    }
}

fn describe_cause(cause: &OutageCause) -> String {
    match cause {
        OutageCause::Failures(FailureCount { failures, requests }) => {
            format!("after {failures} failures in {requests} requests")
        }
        OutageCause::Refusal(CommonRefusal { refusal, sessions, address }) => {
            let scope = if address.is_some() { " of one address" } else { "" };
            format!("because the model server refused {sessions} visitors{scope} in a row: {refusal}")
        }
    }
}

fn describe_server(server: &ServerStatus) -> String {
    let description = server.description.as_ref().map(|text| format!("; server: {text}"));
    let dialect = server.dialect.as_ref().map(|lessons| format!("; dialect: {lessons}"));
    let problems = [
        (server.is_window_too_small, "; the resume does not fit into the context window of the model"),
        (server.are_prompts_cut, "; the model server reads only a part of the prompts"),
    ];
    let problems = problems.iter().filter(|(applies, _)| *applies).map(|(_, text)| *text);
    description.into_iter().chain(dialect).chain(problems.map(str::to_owned)).collect()
}

fn describe_key(key: &Result<KeyReport, KeyError>) -> String {
    match key {
        Ok(report) => format!("; key: {}", report.outlook(Timestamp::now())),
        Err(KeyError::Refused) => "; key: refused".to_owned(),
        // The error is in the log; a health report may be public.
        Err(KeyError::Unknown(_)) => "; key: unknown".to_owned(),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

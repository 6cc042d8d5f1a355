//! Answers from resume excerpts, instead of or without a model.

use std::time::Duration;

use crate::domain::error_code::ErrorCode;
use crate::domain::turn::AnswerMode;
use crate::llm::excerpts::{ExcerptAnswer, Excerpts};
use crate::llm::router::Fallback;
use crate::llm::turn::context::ActiveTurn;
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::telemetry::metrics::DegradedBy;

/// The delay between two words, so that excerpts appear like the answer of a model.
const WORD_DELAY: Duration = Duration::from_millis(10);

/// Answers a question that was routed to excerpts.
pub(crate) async fn answer(
    turn: &ActiveTurn,
    reason: Option<DegradedBy>,
) -> Result<Completion, CompletionError> {
    match turn.context.router.fallback(reason, ErrorCode::InternalError.into()) {
        Fallback::Excerpts(excerpts, reason) => Ok(answer_from(turn, excerpts, reason).await),
        Fallback::Unavailable(failure) => Err(CompletionError::not_sent(failure)),
    }
}

/// Appends an answer from `excerpts`, word by word.
pub(crate) async fn answer_from(
    turn: &ActiveTurn,
    excerpts: &Excerpts,
    reason: Option<DegradedBy>,
) -> Completion {
    if let Some(reason) = reason {
        turn.context.metrics.answer.count_fallback(reason);
    }
    turn.generation.set_mode(AnswerMode::Excerpts);
    let ExcerptAnswer { text, citations } = excerpts.answer(&turn.request.prompt.question);
    for word in text.split_inclusive(' ') {
        turn.generation.append(word);
        tokio::time::sleep(WORD_DELAY).await;
    }
    Completion::from_excerpts(citations)
}

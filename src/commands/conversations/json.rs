//! Formats a conversation as JSON, for `show` and `export`.

use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::domain::error_code::ErrorCode;
use resume_chatbot::domain::ids::TurnId;
use resume_chatbot::domain::turn::{AnswerMode, Rating, TurnStatus};
use resume_chatbot::persistence::records::StoredTurn;
use resume_chatbot::persistence::reports::ConversationSummary;
use serde::Serialize;

use super::super::CliResult;
use super::super::output::to_json;

/// A question with its answer.
#[derive(Serialize)]
struct Turn<'a> {
    id: TurnId,
    asked_at: Timestamp,
    status: TurnStatus,
    mode: Option<AnswerMode>,
    model: Option<&'a str>,
    prompt_tokens: u32,
    completion_tokens: u32,
    /// Whether some of the tokens are the server's own count.
    usage_estimated: bool,
    /// In US dollars.
    cost: Option<f64>,
    question: &'a str,
    /// Incomplete unless the status is `complete`.
    answer: Option<&'a str>,
    answered_at: Option<Timestamp>,
    /// The titles of the sections of the resume that the answer quotes.
    citations: &'a [String],
    failure: Option<ErrorCode>,
    /// The turn that answers the same question again.
    superseded_by: Option<TurnId>,
    rating: Option<Rating>,
    comment: Option<&'a str>,
}

/// Formats one turn.
pub(super) fn turn(turn: &StoredTurn) -> CliResult<String> {
    let answer = turn.answer.as_ref();
    let feedback = turn.feedback.as_ref();
    to_json(&Turn {
        id: turn.turn_id,
        asked_at: turn.asked_at,
        status: turn.status,
        mode: turn.mode,
        model: turn.model.as_deref(),
        prompt_tokens: turn.usage.prompt_tokens,
        completion_tokens: turn.usage.completion_tokens,
        usage_estimated: turn.usage.is_estimated(),
        cost: turn.usage.cost,
        question: &turn.question.content,
        answer: answer.map(|answer| &*answer.content),
        answered_at: answer.map(|answer| answer.at),
        citations: answer.map_or(&[], |answer| &answer.citations),
        failure: turn.failure,
        superseded_by: turn.superseded_by,
        rating: feedback.map(|feedback| feedback.rating),
        comment: feedback.and_then(|feedback| feedback.comment.as_deref()),
    })
}

/// Formats the start of a conversation. Its turns follow, separated by commas, and then
/// [`CLOSING`].
pub(super) fn opening(conversation: &ConversationSummary) -> CliResult<String> {
    let mut object = to_json(conversation)?;
    // Remove the closing brace.
    object.pop();
    Ok(object + ",\"turns\":[")
}

/// Comes after the last turn.
pub(super) const CLOSING: &str = "]}";

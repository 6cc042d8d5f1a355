//! A conversation as JSON, for `show` and `export`.

use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::domain::error_code::ErrorCode;
use resume_chatbot::domain::ids::TurnId;
use resume_chatbot::domain::turn::{AnswerMode, Rating, TurnStatus};
use resume_chatbot::persistence::records::StoredTurn;
use resume_chatbot::persistence::reports::ConversationSummary;
use serde::Serialize;

use super::super::Failed;

/// One question with its answer.
#[derive(Serialize)]
struct Turn<'a> {
    id: TurnId,
    asked_at: Timestamp,
    status: TurnStatus,
    mode: Option<AnswerMode>,
    model: Option<&'a str>,
    prompt_tokens: u32,
    completion_tokens: u32,
    cost: Option<f64>,
    question: &'a str,
    /// As far as it is stored.
    answer: Option<&'a str>,
    answered_at: Option<Timestamp>,
    /// Sections of the resume that were quoted.
    citations: &'a [String],
    /// Why it failed.
    failure: Option<ErrorCode>,
    /// The turn that took its place.
    superseded_by: Option<TurnId>,
    /// What the visitor thinks of it.
    rating: Option<Rating>,
    comment: Option<&'a str>,
}

/// One turn as JSON.
pub(super) fn turn(turn: &StoredTurn) -> Result<String, Failed> {
    let answer = turn.answer.as_ref();
    text(&Turn {
        id: turn.turn_id,
        asked_at: turn.asked_at,
        status: turn.status,
        mode: turn.mode,
        model: turn.model.as_deref(),
        prompt_tokens: turn.usage.prompt_tokens,
        completion_tokens: turn.usage.completion_tokens,
        cost: turn.usage.cost,
        question: &turn.question.content,
        answer: answer.map(|it| &*it.content),
        answered_at: answer.map(|it| it.at),
        citations: answer.map_or(&[], |it| &it.citations),
        failure: turn.failure,
        superseded_by: turn.superseded_by,
        rating: turn.feedback.as_ref().map(|it| it.rating),
        comment: turn.feedback.as_ref().and_then(|it| it.comment.as_deref()),
    })
}

/// The beginning of a conversation as JSON, up to where its turns follow, separated by commas; [`END`] ends it.
pub(super) fn beginning(conversation: &ConversationSummary) -> Result<String, Failed> {
    let mut head = text(conversation)?;
    // The bracket that closes it.
    head.pop();
    Ok(head + ",\"turns\":[")
}

/// What follows the last turn.
pub(super) const END: &str = "]}";

fn text(value: &impl Serialize) -> Result<String, Failed> {
    serde_json::to_string(value).map_err(|error| Failed(1, error.to_string()))
}

//! The frames that clients send, and their parser.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};

use super::{MAX_CLIENT_ID_CHARS, MAX_HISTORY_LIMIT};
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::Rating;

/// A frame sent by a client. Unknown fields are ignored.
#[derive(Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Starts a new session.
    Start,
    /// Resumes a session.
    Resume {
        /// The session to resume.
        session_id: SessionId,
        /// The token from the `session` frame.
        #[schema(max_length = 256)]
        resume_token: String,
        /// How much of the last answer the client has displayed.
        #[serde(default)]
        cursor: Option<Cursor>,
    },
    /// Asks a question.
    Question {
        /// The question as the visitor wrote it. Control characters and surrounding white space are
        /// removed.
        #[schema(min_length = 1, max_length = 2000)]
        question: String,
        /// An id that the client chooses, without NUL. A repeated id never produces a second
        /// answer.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 64)]
        id: Option<String>,
    },
    /// Cancels an answer.
    Cancel {
        /// The turn to cancel; by default the current one.
        #[serde(default)]
        turn_id: Option<TurnId>,
        /// The last delta that the client displayed. Later text is discarded. By default all text
        /// is kept.
        #[serde(default)]
        seen_seq: Option<u64>,
    },
    /// Generates a new answer to the last question, which replaces the old one.
    Regenerate {
        /// An id that the client chooses, as for a question. A repeated id never produces a second
        /// answer.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 64)]
        id: Option<String>,
    },
    /// Rates an answer. A later rating replaces an earlier one.
    Feedback {
        /// The turn whose answer is rated.
        turn_id: TurnId,
        /// The rating; null removes the rating and its comment.
        #[serde(default)]
        #[schema(schema_with = rating_or_null)]
        rating: Option<Rating>,
        /// The visitor's comment, sanitized like a question.
        #[serde(default)]
        #[schema(max_length = 500)]
        comment: Option<String>,
        /// Returned in the reply or the error.
        #[serde(default)]
        #[schema(max_length = 64)]
        id: Option<String>,
    },
    /// Deletes the conversation immediately.
    Forget,
    /// Reads the transcript, oldest turn first.
    History {
        /// Returns only turns before this one.
        #[serde(default)]
        before: Option<TurnId>,
        /// The maximum number of turns, taken from the newest; 100 by default.
        #[serde(default)]
        #[schema(minimum = 1, maximum = 100)]
        limit: Option<usize>,
    },
    /// Checks that the server responds.
    Ping {
        /// Returned in the `pong`.
        #[serde(default)]
        #[schema(max_length = 64)]
        id: Option<String>,
    },
}

/// Returns the schema of `rating`, the only nullable field of the protocol: an absent field could
/// be an omission, so removing a rating is explicit.
fn rating_or_null() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some("The rating; null removes the rating and its comment."))
        .enum_values(Some([Value::from("up"), Value::from("down"), Value::Null]))
}

/// The position up to which a client has displayed an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Cursor {
    /// The turn of the answer.
    pub turn_id: TurnId,
    /// The last delta displayed, or 0 for none.
    pub seq: u64,
}

/// The error for a message that is not a valid frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, for the author of the client.
    pub problem: String,
    /// The `id` of the message, if it can be read.
    pub id: Option<String>,
}

impl ClientFrame {
    /// Parses a text message.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the text is not a JSON object of a known type with valid fields.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let frame = serde_json::from_str(text).map_err(|error| Malformed::from_json_error(text, &error))?;
        match &frame {
            Self::Question { id: Some(id), .. }
            | Self::Regenerate { id: Some(id) }
            | Self::Feedback { id: Some(id), .. }
            | Self::Ping { id: Some(id) }
                if is_too_long(id) =>
            {
                Err(Malformed {
                    problem: format!("`id` has more than {MAX_CLIENT_ID_CHARS} characters"),
                    id: None,
                })
            }
            Self::Question { id: Some(id), .. } | Self::Regenerate { id: Some(id) }
                if id.is_empty() || id.contains('\0') =>
            {
                Err(Malformed { problem: "`id` is empty or contains a NUL character".to_owned(), id: None })
            }
            Self::History { limit: Some(limit), .. } if !(1..=MAX_HISTORY_LIMIT).contains(limit) => {
                Err(Malformed { problem: format!("`limit` is not from 1 to {MAX_HISTORY_LIMIT}"), id: None })
            }
            _ => Ok(frame),
        }
    }
}

impl Malformed {
    fn from_json_error(text: &str, error: &serde_json::Error) -> Self {
        let parsed: Option<Value> = serde_json::from_str(text).ok();
        let problem = match &parsed {
            None => format!("the message is not JSON: {error}"),
            Some(Value::Object(fields)) if !fields.contains_key("type") => {
                "the message has no `type`".to_owned()
            }
            Some(Value::Object(_)) => format!("the message is not a known request: {error}"),
            Some(_) => "the message is not a JSON object".to_owned(),
        };
        let id = parsed
            .and_then(|value| value.get("id")?.as_str().map(str::to_owned))
            .filter(|id| !is_too_long(id));
        Self { problem, id }
    }
}

fn is_too_long(id: &str) -> bool {
    id.chars().nth(MAX_CLIENT_ID_CHARS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored() {
        let frame = ClientFrame::parse(r#"{"type":"question","question":"hi","colour":"blue"}"#);
        assert_eq!(frame, Ok(ClientFrame::Question { question: "hi".to_owned(), id: None }));
    }

    #[test]
    fn malformed_messages_report_what_is_wrong() {
        for (text, problem) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            ("{}", "no `type`"),
            (r#"{"type":"dance"}"#, "unknown variant `dance`"),
            (r#"{"type":"question"}"#, "missing field `question`"),
            (r#"{"type":"question","question":7}"#, "invalid type"),
            (r#"{"type":"resume","session_id":"x","resume_token":"y"}"#, "not a known request"),
            (r#"{"type":"history","limit":0}"#, "`limit`"),
            (r#"{"type":"history","limit":101}"#, "`limit`"),
        ] {
            let malformed = ClientFrame::parse(text).unwrap_err();
            assert!(malformed.problem.contains(problem), "{text}: {}", malformed.problem);
        }
    }

    #[test]
    fn malformed_question_keeps_its_id() {
        let malformed = ClientFrame::parse(r#"{"type":"question","id":"q7"}"#).unwrap_err();
        assert_eq!(malformed.id.as_deref(), Some("q7"));
    }

    #[test]
    fn id_length_is_counted_in_characters() {
        let id = "é".repeat(MAX_CLIENT_ID_CHARS);
        assert!(ClientFrame::parse(&format!(r#"{{"type":"ping","id":"{id}"}}"#)).is_ok());
        assert!(ClientFrame::parse(&format!(r#"{{"type":"ping","id":"{id}e"}}"#)).is_err());
    }
}

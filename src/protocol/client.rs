//! What clients send: the frames, and how a text becomes one.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};

use super::{MAX_CLIENT_ID_CHARS, MAX_HISTORY_LIMIT};
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::Rating;

/// One message of a client. Unknown fields are ignored.
#[derive(Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Begin a new session.
    Start,
    /// Come back to a session.
    Resume {
        /// The session to come back to.
        session_id: SessionId,
        /// The secret that came with it, in the `session` frame.
        #[schema(max_length = 256)]
        resume_token: String,
        /// What the client has shown of the last answer it saw.
        #[serde(default)]
        cursor: Option<Cursor>,
    },
    /// Ask something.
    Question {
        /// The question as the visitor wrote it; control characters and white space at both ends do not count.
        #[schema(min_length = 1, max_length = 2000)]
        question: String,
        /// The client's own id, without NUL; the same id never makes a second answer.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 64)]
        id: Option<String>,
    },
    /// Stop the answer.
    Cancel {
        /// Which; the current one when it is not said.
        #[serde(default)]
        turn_id: Option<TurnId>,
        /// The last delta that was shown of it: what came after is not kept. All that was said is kept when it is not said.
        #[serde(default)]
        seen_seq: Option<u64>,
    },
    /// Have the last question answered once more, in place of its last answer.
    Regenerate {
        /// The client's own id, as with a question; the same id never makes a second answer.
        #[serde(default)]
        #[schema(min_length = 1, max_length = 64)]
        id: Option<String>,
    },
    /// Say what the visitor thinks of an answer; the latest counts.
    Feedback {
        /// The turn.
        turn_id: TurnId,
        /// What they think; null takes it back, with the comment.
        #[serde(default)]
        #[schema(schema_with = rating_or_null)]
        rating: Option<Rating>,
        /// Why, in their words, cleaned like a question.
        #[serde(default)]
        #[schema(max_length = 500)]
        comment: Option<String>,
        /// Sent back in what answers it, be it the refusal.
        #[serde(default)]
        #[schema(max_length = 64)]
        id: Option<String>,
    },
    /// Delete the whole conversation, here and now.
    Forget,
    /// Read the transcript, newest turns last.
    History {
        /// Only turns before this one.
        #[serde(default)]
        before: Option<TurnId>,
        /// Most turns to send, the newest; 100 when it is not said.
        #[serde(default)]
        #[schema(minimum = 1, maximum = 100)]
        limit: Option<usize>,
    },
    /// Ask whether the server is there.
    Ping {
        /// Sent back in the `pong`.
        #[serde(default)]
        #[schema(max_length = 64)]
        id: Option<String>,
    },
}

/// The one field of the wire that may be `null`: as one that is absent could not be told from one that was forgotten.
fn rating_or_null() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some("What they think; null takes it back, with the comment."))
        .enum_values(Some([Value::from("up"), Value::from("down"), Value::Null]))
}

/// How far a client has shown an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Cursor {
    /// The turn.
    pub turn_id: TurnId,
    /// The last delta shown; 0 when none was.
    pub seq: u64,
}

/// A text that is no frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong with it, for the author of the client.
    pub problem: String,
    /// The `id` it carried, when that much could be read.
    pub id: Option<String>,
}

impl ClientFrame {
    /// Reads one text message.
    ///
    /// # Errors
    /// [`Malformed`] when it is not a JSON object of a known type with well-formed fields.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let frame = serde_json::from_str(text).map_err(|error| Malformed::because(text, &error))?;
        match &frame {
            Self::Question { id: Some(id), .. }
            | Self::Regenerate { id: Some(id) }
            | Self::Feedback { id: Some(id), .. }
            | Self::Ping { id: Some(id) }
                if too_long(id) =>
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
    fn because(text: &str, error: &serde_json::Error) -> Self {
        let parsed: Option<Value> = serde_json::from_str(text).ok();
        let problem = match &parsed {
            None => format!("the message is not JSON: {error}"),
            Some(Value::Object(fields)) if !fields.contains_key("type") => {
                "the message has no `type`".to_owned()
            }
            Some(Value::Object(_)) => format!("the message is not a known request: {error}"),
            Some(_) => "the message is not a JSON object".to_owned(),
        };
        let id =
            parsed.and_then(|value| value.get("id")?.as_str().map(str::to_owned)).filter(|id| !too_long(id));
        Self { problem, id }
    }
}

fn too_long(id: &str) -> bool {
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
    fn every_malformed_text_says_what_is_wrong_with_it() {
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
    fn a_malformed_question_keeps_its_id_so_that_the_client_knows_which_one_failed() {
        let malformed = ClientFrame::parse(r#"{"type":"question","id":"q7"}"#).unwrap_err();
        assert_eq!(malformed.id.as_deref(), Some("q7"));
    }

    #[test]
    fn ids_are_counted_in_characters() {
        let id = "é".repeat(MAX_CLIENT_ID_CHARS);
        assert!(ClientFrame::parse(&format!(r#"{{"type":"ping","id":"{id}"}}"#)).is_ok());
        assert!(ClientFrame::parse(&format!(r#"{{"type":"ping","id":"{id}e"}}"#)).is_err());
    }
}

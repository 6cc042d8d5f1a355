//! The event stream: the frames of the WebSocket as server-sent events.
//!
//! A frame is a message event whose data is the JSON object of the WebSocket. What is no frame there
//! has a named event or a comment here: `connected` carries the id that clients post to, `close`
//! stands for the close frame, and a comment for the ping.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::MAX_MESSAGE_BYTES;
use super::client::Cursor;
use super::close_codes::CloseReason;
use super::server::ServerFrame;
use crate::domain::ids::TurnId;

/// The media type of the stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The media type of request bodies: one frame per line. Any other one is accepted too, but browsers
/// ask for permission before they send it to another origin.
pub const FRAMES_MEDIA_TYPE: &str = "text/plain";

/// The maximum number of frames in one request. Resuming, asking and rating take three.
pub const MAX_FRAMES_PER_REQUEST: usize = 8;

/// The maximum size of a request body in bytes: the largest frames, each with CR LF.
pub const MAX_BODY_BYTES: usize = MAX_FRAMES_PER_REQUEST * (MAX_MESSAGE_BYTES + 2);

/// The comment that stands for a ping.
pub const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// An event that is not a frame. Its name is its `type`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamEvent<'a> {
    /// The first event of a stream.
    Connected {
        /// The secret id of the connection, for `POST /sse/chat/{connection_id}`. It is valid as
        /// long as the stream.
        #[schema(min_length = 32, max_length = 32)]
        connection_id: &'a str,
    },
    /// The last event of a stream. It stands for the close frame of a WebSocket.
    Close {
        /// The close code.
        code: u16,
        /// The text of the close code.
        reason: &'a str,
    },
}

impl StreamEvent<'_> {
    /// Returns the last event for a close reason.
    #[must_use]
    pub fn close(reason: CloseReason) -> Self {
        StreamEvent::Close { code: reason.code(), reason: reason.description() }
    }

    /// Returns the event as text.
    ///
    /// # Errors
    /// The event cannot be serialized.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let data = serde_json::to_string(self)?;
        Ok(match self {
            // The comment is the first line of a stream: it names the version of the protocol.
            Self::Connected { .. } => {
                format!(": {}\n\nevent: connected\ndata: {data}\n\n", super::SUBPROTOCOL)
            }
            Self::Close { .. } => format!("event: close\ndata: {data}\n\n"),
        })
    }
}

/// Returns the message event of a frame. Frames that move the position in an answer have an id.
///
/// # Errors
/// The frame cannot be serialized.
pub fn encode_frame(frame: &ServerFrame) -> Result<String, serde_json::Error> {
    // Compact JSON contains no line break, so it is one `data` line.
    let data = serde_json::to_string(frame)?;
    Ok(match position_after(frame) {
        Some(Cursor { turn_id, seq }) => format!("id: {turn_id}:{seq}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    })
}

/// Returns the position of a client that has displayed everything up to this frame; `None` if the
/// frame does not change it.
fn position_after(frame: &ServerFrame) -> Option<Cursor> {
    match frame {
        ServerFrame::Delta(delta) => Some(Cursor { turn_id: delta.turn_id, seq: delta.seq }),
        // A repeated question does not start the answer again, so the client keeps its position.
        ServerFrame::Accepted { turn_id, duplicate: false, .. } | ServerFrame::Reset { turn_id } => {
            Some(Cursor { turn_id: *turn_id, seq: 0 })
        }
        _ => None,
    }
}

/// Parses the id of an event, as a client sends it in `Last-Event-ID`.
#[must_use]
pub fn parse_event_id(id: &str) -> Option<Cursor> {
    let (turn_id, seq) = id.trim().split_once(':')?;
    Some(Cursor { turn_id: TurnId(Uuid::try_parse(turn_id).ok()?), seq: seq.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::server::DeltaFrame;

    fn delta(turn: u128, seq: u64, text: &str) -> ServerFrame {
        let turn_id = TurnId(Uuid::from_u128(turn));
        ServerFrame::Delta(DeltaFrame { turn_id, seq, text: text.to_owned(), replay: false })
    }

    #[test]
    fn named_events_have_their_name_as_type() {
        let connected = StreamEvent::Connected { connection_id: "ab" }.encode().unwrap();
        assert!(
            connected.ends_with(
                "\n\nevent: connected\ndata: {\"type\":\"connected\",\"connection_id\":\"ab\"}\n\n"
            )
        );
        let close = StreamEvent::close(CloseReason::TakenOver).encode().unwrap();
        assert!(
            close.starts_with(
                "event: close\ndata: {\"type\":\"close\",\"code\":4409,\"reason\":\"the session"
            )
        );
    }

    #[test]
    fn only_frames_that_move_the_position_have_an_id() {
        let turn_id = TurnId(Uuid::from_u128(7));
        let accepted =
            |duplicate| ServerFrame::Accepted { id: None, turn_id, remaining: 1, durable: true, duplicate };
        let id_of = |frame: &ServerFrame| {
            let event = encode_frame(frame).unwrap();
            event.lines().find_map(|line| line.strip_prefix("id: ")).map(|id| parse_event_id(id).unwrap())
        };
        assert_eq!(id_of(&accepted(false)), Some(Cursor { turn_id, seq: 0 }));
        assert_eq!(id_of(&ServerFrame::Reset { turn_id }), Some(Cursor { turn_id, seq: 0 }));
        assert_eq!(id_of(&accepted(true)), None);
        assert_eq!(id_of(&ServerFrame::Forgotten), None);
    }

    #[test]
    fn event_ids_of_other_streams_are_ignored() {
        for id in ["", ":", "7", "7:1", "x:1", "00000000-0000-0000-0000-000000000007:-1"] {
            assert_eq!(parse_event_id(id), None, "{id:?}");
        }
    }

    proptest! {
        /// Whatever a model writes, a delta is one event, its id is the position after it, and its
        /// data is the frame of the WebSocket.
        #[test]
        fn any_text_is_one_event(turn in any::<u128>(), seq in any::<u64>(), text in "\\PC*|[\r\n\u{2028}:]*") {
            let frame = delta(turn, seq, &text);
            let event = encode_frame(&frame).unwrap();
            let lines: Vec<&str> = event.split('\n').collect();
            prop_assert_eq!(lines.len(), 4);
            prop_assert!(!event.contains('\r'));
            let cursor = Cursor { turn_id: TurnId(Uuid::from_u128(turn)), seq };
            prop_assert_eq!(parse_event_id(lines[0].strip_prefix("id: ").unwrap()), Some(cursor));
            prop_assert_eq!(lines[1].strip_prefix("data: ").unwrap(), serde_json::to_string(&frame).unwrap());
            prop_assert_eq!(&lines[2..], ["", ""]);
        }
    }
}

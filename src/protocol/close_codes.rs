//! The table of close codes: code, text, cause, and what a client should do.

use strum::VariantArray;

/// Why the server closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub enum CloseReason {
    /// 1000: the client closed the connection, its conversation was deleted, or all that a one-shot
    /// request asked for is done.
    Normal,
    /// 1002: the client violated the WebSocket protocol.
    ProtocolViolation,
    /// 1003: the client sent a binary message.
    BinaryMessage,
    /// 1007: a text message was not UTF-8.
    InvalidUtf8,
    /// 1009: a message was larger than allowed.
    MessageTooBig,
    /// 1011: the session panicked.
    InternalError,
    /// 1012: the server restarts; the client should resume after a random delay.
    Restarting,
    /// 4400: the client sent too many malformed messages in a row.
    TooManyMalformed,
    /// 4408: the client was inactive, did not answer a ping, or did not finish a message.
    IdleTimeout,
    /// 4409: the session was resumed on another connection.
    TakenOver,
    /// 4413: the client reads, but has not caught up in time.
    SlowConsumer,
    /// 4429: the client sent too many frames.
    TooManyFrames,
}

/// The properties of a close code on the wire.
#[derive(Clone, Copy, Debug)]
pub struct CloseCodeEntry {
    /// The reason.
    pub reason: CloseReason,
    /// The status code of the close frame.
    pub code: u16,
    /// The text of the close frame, at most 123 bytes.
    pub description: &'static str,
    /// When the server sends the code, for authors of clients.
    pub cause: &'static str,
    /// What a client should do.
    pub client_action: &'static str,
}

/// Every close code, in the order of the reference.
pub const CLOSE_CODES: [CloseCodeEntry; 12] = [
    CloseCodeEntry {
        reason: CloseReason::Normal,
        code: 1000,
        description: "connection closed",
        cause: "the client closed the connection, `forget` deleted the conversation, or everything that an event stream with `close=done` asked for is done",
        client_action: "–",
    },
    CloseCodeEntry {
        reason: CloseReason::ProtocolViolation,
        code: 1002,
        description: "WebSocket protocol error",
        cause: "an invalid frame, or fragments out of order",
        client_action: "fix the client",
    },
    CloseCodeEntry {
        reason: CloseReason::BinaryMessage,
        code: 1003,
        description: "only text messages are supported",
        cause: "a binary message",
        client_action: "fix the client",
    },
    CloseCodeEntry {
        reason: CloseReason::InvalidUtf8,
        code: 1007,
        description: "a text message was not valid UTF-8",
        cause: "invalid UTF-8",
        client_action: "fix the client",
    },
    CloseCodeEntry {
        reason: CloseReason::MessageTooBig,
        code: 1009,
        description: "a message was larger than 16 KiB",
        cause: "more than 16,384 bytes, including all fragments",
        client_action: "fix the client",
    },
    INTERNAL_ERROR,
    CloseCodeEntry {
        reason: CloseReason::Restarting,
        code: 1012,
        description: "server restarting; reconnect and resume",
        cause: "the server is shutting down",
        client_action: "reconnect after a random delay of a few seconds, and resume",
    },
    CloseCodeEntry {
        reason: CloseReason::TooManyMalformed,
        code: 4400,
        description: "too many malformed messages",
        cause: "ten malformed messages in a row",
        client_action: "do not reconnect",
    },
    CloseCodeEntry {
        reason: CloseReason::IdleTimeout,
        code: 4408,
        description: "idle for too long",
        cause: "no question for `IDLE_TIMEOUT`, no frame for `FIRST_FRAME_TIMEOUT` or two heartbeat intervals, or a message not completed within `MESSAGE_TIMEOUT`",
        client_action: "reconnect when the visitor returns",
    },
    CloseCodeEntry {
        reason: CloseReason::TakenOver,
        code: 4409,
        description: "the session was resumed on another connection",
        cause: "a later connection resumed the same session",
        client_action: "do not reconnect",
    },
    CloseCodeEntry {
        reason: CloseReason::SlowConsumer,
        code: 4413,
        description: "the client reads too slowly; reconnect and resume",
        cause: "the client reads, but has not caught up for four times `SLOW_READER_TIMEOUT`",
        client_action: "reconnect and resume",
    },
    CloseCodeEntry {
        reason: CloseReason::TooManyFrames,
        code: 4429,
        description: "too many frames",
        cause: "more than 1,000 frames at once, or more than 100 per second for longer",
        client_action: "reconnect after half a minute",
    },
];

const INTERNAL_ERROR: CloseCodeEntry = CloseCodeEntry {
    reason: CloseReason::InternalError,
    code: 1011,
    description: "internal server error; reconnect and resume",
    cause: "the session panicked",
    client_action: "reconnect and resume",
};

impl CloseReason {
    /// Returns the row of this reason.
    #[must_use]
    pub fn entry(self) -> &'static CloseCodeEntry {
        // A test shows that every reason has a row.
        CLOSE_CODES.iter().find(|entry| entry.reason == self).unwrap_or(&INTERNAL_ERROR)
    }

    /// Returns the status code of the close frame.
    #[must_use]
    pub fn code(self) -> u16 {
        self.entry().code
    }

    /// Returns the text of the close frame.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.entry().description
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::schema_names;

    #[test]
    fn every_close_reason_has_a_row_and_a_unique_code() {
        let reasons: Vec<CloseReason> = CLOSE_CODES.iter().map(|entry| entry.reason).collect();
        assert_eq!(reasons, CloseReason::VARIANTS);
        let names: Vec<String> = reasons.iter().map(|reason| format!("{reason:?}")).collect();
        assert_eq!(names, schema_names::<CloseReason>());
        let codes: HashSet<u16> = reasons.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), reasons.len());
    }

    #[test]
    fn descriptions_fit_into_a_close_frame() {
        // A close frame has 125 bytes, two of them for the code.
        assert!(CLOSE_CODES.iter().all(|entry| entry.description.len() <= 123));
    }
}

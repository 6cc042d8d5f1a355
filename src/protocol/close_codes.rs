//! The one table of close codes: what is sent, when, and who comes back.

/// Why the server closed a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub enum CloseReason {
    /// 1000: ended as asked.
    Normal,
    /// 1002: the frames broke the WebSocket protocol.
    ProtocolViolation,
    /// 1003: a binary message came.
    BinaryMessage,
    /// 1007: a text message was not UTF-8.
    InvalidUtf8,
    /// 1009: a message was larger than allowed.
    TooBig,
    /// 1011: a fault of this server.
    InternalFault,
    /// 1012: the server restarts; come back after a random delay and resume.
    Restarting,
    /// 4400: too many malformed messages.
    TooManyMalformed,
    /// 4408: nothing happened for too long, pings were not answered, or a message was not finished.
    IdleTooLong,
    /// 4409: the session was resumed on another connection.
    ResumedElsewhere,
    /// 4413: the client reads, but for too long has not caught up.
    CannotKeepUp,
    /// 4429: too many frames came.
    TooManyFrames,
}

/// One row of the close codes.
#[derive(Clone, Copy, Debug)]
pub struct CloseEntry {
    /// The code on the wire.
    pub code: u16,
    /// The text sent beside the code.
    pub description: &'static str,
    /// When it is sent.
    pub when: &'static str,
    /// What a client should do then.
    pub client: &'static str,
}

const fn close(code: u16, description: &'static str, when: &'static str, client: &'static str) -> CloseEntry {
    CloseEntry { code, description, when, client }
}

impl CloseReason {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 12] = [
        Self::Normal,
        Self::ProtocolViolation,
        Self::BinaryMessage,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::InternalFault,
        Self::Restarting,
        Self::TooManyMalformed,
        Self::IdleTooLong,
        Self::ResumedElsewhere,
        Self::CannotKeepUp,
        Self::TooManyFrames,
    ];

    /// The row of this reason.
    #[must_use]
    pub const fn entry(self) -> CloseEntry {
        match self {
            Self::Normal => close(
                1000,
                "connection closed",
                "the client closed the connection, or `forget` deleted the conversation",
                "–",
            ),
            Self::ProtocolViolation => close(
                1002,
                "WebSocket protocol error",
                "an invalid frame, or fragments out of order",
                "fix the client",
            ),
            Self::BinaryMessage => {
                close(1003, "only text messages are supported", "a binary message", "fix the client")
            }
            Self::InvalidUtf8 => {
                close(1007, "a text message was not valid UTF-8", "invalid UTF-8", "fix the client")
            }
            Self::TooBig => close(
                1009,
                "a message was larger than 16 KiB",
                "more than 16,384 bytes, including all fragments",
                "fix the client",
            ),
            Self::InternalFault => close(
                1011,
                "internal server error; reconnect and resume",
                "the session panicked",
                "reconnect and resume",
            ),
            Self::Restarting => close(
                1012,
                "server restarting; reconnect and resume",
                "the server is shutting down",
                "reconnect after a random delay of a few seconds, and resume",
            ),
            Self::TooManyMalformed => close(
                4400,
                "too many malformed messages",
                "ten malformed messages in a row",
                "do not reconnect",
            ),
            Self::IdleTooLong => close(
                4408,
                "idle for too long",
                "no question for `IDLE_TIMEOUT`, no frame for `FIRST_FRAME_TIMEOUT` or two heartbeat intervals, or a message not completed within `MESSAGE_TIMEOUT`",
                "reconnect when the visitor returns",
            ),
            Self::ResumedElsewhere => close(
                4409,
                "the session was resumed on another connection",
                "a later connection resumed the same session",
                "do not reconnect",
            ),
            Self::CannotKeepUp => close(
                4413,
                "the client reads too slowly; reconnect and resume",
                "the client reads, but has not caught up for four times `SLOW_READER_TIMEOUT`",
                "reconnect and resume",
            ),
            Self::TooManyFrames => close(
                4429,
                "too many frames",
                "more than 1,000 frames at once, or more than 100 per second for longer",
                "reconnect after half a minute",
            ),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.entry().code
    }

    /// The text sent beside the code.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.entry().description
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::variants;

    #[test]
    fn every_close_reason_has_its_row_and_a_code_of_its_own() {
        let names: Vec<String> = CloseReason::ALL.iter().map(|reason| format!("{reason:?}")).collect();
        assert_eq!(names, variants::<CloseReason>());
        let codes: HashSet<u16> = CloseReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), CloseReason::ALL.len());
        // A close frame has 125 bytes, two of them for the code.
        assert!(CloseReason::ALL.iter().all(|reason| reason.description().len() <= 123));
    }
}

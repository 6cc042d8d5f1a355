//! What a visitor does in the middle of an answer.

use crate::random::Random;

/// An action in the middle of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    Nothing,
    /// Resets the TCP connection.
    Reset,
    /// Shuts down the sending half of the TCP connection.
    HalfClose,
    /// Closes the WebSocket.
    Close,
    /// Stops reading without closing, and reconnects.
    Vanish,
    /// Stops reading for a while.
    Stall,
    /// Cancels the answer.
    Cancel,
    /// Repeats the question with the same id.
    Repeat,
    /// Sends another question with the same id.
    ReuseId,
    /// Sends another question.
    AskAnother,
    /// Requests the history.
    History,
    /// Resumes the session on two connections at once.
    Race,
}

impl Interruption {
    /// Chooses an interruption at random. Almost half of the time it is [`Self::Nothing`].
    pub(super) fn random(random: &mut Random) -> Self {
        match random.between(0, 100) {
            0..8 => Self::Reset,
            8..13 => Self::HalfClose,
            13..18 => Self::Close,
            18..22 => Self::Vanish,
            22..30 => Self::Stall,
            30..38 => Self::Cancel,
            38..43 => Self::Repeat,
            43..46 => Self::ReuseId,
            46..49 => Self::AskAnother,
            49..52 => Self::History,
            52..54 => Self::Race,
            _ => Self::Nothing,
        }
    }

    /// Returns whether the connection cannot be used afterwards.
    pub(super) fn ends_connection(self) -> bool {
        matches!(self, Self::Reset | Self::HalfClose | Self::Close | Self::Vanish | Self::Race)
    }

    /// Returns the name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Reset => "reset",
            Self::HalfClose => "half-close",
            Self::Close => "close",
            Self::Vanish => "vanish",
            Self::Stall => "stall",
            Self::Cancel => "cancel",
            Self::Repeat => "repeat",
            Self::ReuseId => "reuse id",
            Self::AskAnother => "ask another",
            Self::History => "history",
            Self::Race => "race",
        }
    }
}

//! The values that describe a turn: its status, answer mode, usage, rating, and the roles of its
//! messages.
//!
//! The names of these values are the same on the wire, in the store and in log lines.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Role {
    /// The visitor.
    User,
    /// The server.
    Assistant,
}

/// What produces an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AnswerMode {
    /// A language model.
    Live,
    /// Passages quoted from the resume.
    Excerpts,
}

/// The status of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum TurnStatus {
    /// The answer is still being generated.
    Answering,
    /// The answer is complete.
    Complete,
    /// The answer reached the token limit for answers.
    Length,
    /// The visitor cancelled the answer.
    Cancelled,
    /// The answer was cut off: by a restart, or because no client was connected.
    Interrupted,
    /// The answer could not be generated.
    Failed,
}

/// A visitor's rating of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Rating {
    /// The answer helped.
    Up,
    /// The answer did not help.
    Down,
}

/// Tokens and cost of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// US dollars, if the upstream server reports a cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0)]
    pub cost: Option<f64>,
}

impl Usage {
    /// Returns a usage without a reported cost.
    #[must_use]
    pub const fn from_tokens(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self { prompt_tokens, completion_tokens, cost: None }
    }
}

macro_rules! impl_as_str {
    ($($type:ty),+) => {$(
        impl $type {
            /// Returns the name on the wire, in the store and in log lines.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                self.into_str()
            }
        }
    )+};
}

impl_as_str!(Role, AnswerMode, TurnStatus, Rating);

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

/// Tokens and cost of all requests that were sent upstream for an answer, or of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompts.
    pub prompt_tokens: u32,
    /// Tokens of the answers and of the thinking before them.
    pub completion_tokens: u32,
    /// US dollars, as far as the upstream server reports a cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0)]
    pub cost: Option<f64>,
    /// The number of requests whose tokens this server counted, because upstream did not report all
    /// of them.
    #[serde(skip)]
    pub estimated_requests: u32,
}

impl Usage {
    /// Returns the usage of one request by this server's own count.
    #[must_use]
    pub const fn from_own_count(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self { prompt_tokens, completion_tokens, cost: None, estimated_requests: 1 }
    }

    /// Returns whether some of the tokens are this server's own count.
    #[must_use]
    pub const fn is_estimated(&self) -> bool {
        self.estimated_requests > 0
    }

    /// Returns the sum.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        let cost = match (self.cost, other.cost) {
            (Some(first), Some(second)) => Some(first + second),
            (first, second) => first.or(second),
        };
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            cost,
            estimated_requests: self.estimated_requests.saturating_add(other.estimated_requests),
        }
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

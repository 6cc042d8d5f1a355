//! The state of a session as plain values.

pub mod conversation;
pub mod history;
pub mod question_validator;
pub mod rate_window;
pub mod token_budget;

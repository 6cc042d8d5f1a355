//! The state of a session as plain values: decisions without actors, clocks or I/O.

pub mod conversation;
pub mod history;
pub mod open_session;
pub mod question_validator;
pub mod refusal;
pub mod token_budget;

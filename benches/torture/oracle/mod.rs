//! The oracle of the torture: what a visitor may be told, as plain values and rules that know
//! neither sockets nor clocks.

pub(crate) mod numbered_words;
pub(crate) mod request_log;
pub(crate) mod rules;
pub(crate) mod transcript;
#[cfg(test)]
mod transcript_tests;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The promise.
    pub(crate) rule: &'static str,
    /// What was seen instead.
    pub(crate) detail: String,
}

impl Violation {
    /// Of this rule.
    pub(crate) fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

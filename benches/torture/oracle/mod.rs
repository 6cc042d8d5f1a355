//! The oracle: rules for what a visitor may receive, as pure functions and values without I/O or
//! clocks.

pub(crate) mod numbered_words;
pub(crate) mod request_log;
pub(crate) mod rules;
pub(crate) mod transcript;
#[cfg(test)]
mod transcript_tests;

/// A violated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule, as a sentence that should be true.
    pub(crate) rule: &'static str,
    /// What was observed instead.
    pub(crate) detail: String,
}

impl Violation {
    /// Creates a violation of `rule`.
    pub(crate) fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

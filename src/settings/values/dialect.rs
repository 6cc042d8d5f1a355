//! Settings of the form of requests, for servers whose form cannot be learned.

use strum::{EnumString, IntoStaticStr, VariantNames};

/// The field that limits the length of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive, const_into_str)]
pub enum MaxTokensField {
    /// `max_tokens`, unless the server refuses it.
    Auto,
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

impl MaxTokensField {
    /// Returns the name of the field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// Whether requests ask for usage with `stream_options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum StreamOptions {
    /// Unless the server refuses it or needs none.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The role of the message with the instructions and the resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum SystemRole {
    /// `system`, unless the server refuses it.
    Auto,
    /// `system`.
    System,
    /// `developer`.
    Developer,
    /// No role of its own: the instructions precede the first question.
    User,
}

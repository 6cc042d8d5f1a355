//! The categories of prompt injection.

use strum::{IntoStaticStr, VariantArray};

/// What an injection tries to do, or how it hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Category {
    /// Tells the model to drop or replace its instructions.
    InstructionOverride,
    /// Gives the model another identity, or rules for all further answers.
    RoleChange,
    /// Asks for the model's instructions.
    PromptExtraction,
    /// Imitates the delimiters between the parts of a prompt.
    DelimiterForgery,
    /// Contains text in an encoding that filters do not read.
    EncodedPayload,
    /// Writes words so that people can read them and filters cannot.
    ObfuscatedText,
    /// Makes the answer send the conversation to another server.
    DataExfiltration,
    /// Frees the model from restrictions, refusals and ethics.
    PolicyBypass,
    /// Claims an authority over the model that no visitor has.
    AuthorityClaim,
}

impl Category {
    /// Returns the name used in logs, metrics and reports, such as `instruction_override`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

//! The families of prompt injection that are told apart.

/// What an attempt tries to do, or how it hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Tells the model to drop or replace the instructions it has.
    InstructionOverride,
    /// Gives the model another identity, or rules for all its further answers.
    RoleChange,
    /// Wants to read the model's instructions.
    PromptExtraction,
    /// Imitates the marks that separate a prompt's parts.
    DelimiterForgery,
    /// Carries text in an encoding that only the model will read.
    EncodedPayload,
    /// Writes words so that people read them and filters do not.
    ObfuscatedText,
    /// Has the answer carry the conversation to another server.
    DataExfiltration,
    /// Declares the model free of restrictions, refusals and scruples.
    PolicyBypass,
    /// Claims an authority over the model that no visitor has.
    AuthorityClaim,
}

impl Family {
    /// Every family, in the order of the table of signs.
    pub const ALL: [Self; 9] = [
        Self::InstructionOverride,
        Self::RoleChange,
        Self::PromptExtraction,
        Self::DelimiterForgery,
        Self::EncodedPayload,
        Self::ObfuscatedText,
        Self::DataExfiltration,
        Self::PolicyBypass,
        Self::AuthorityClaim,
    ];

    /// The name in logs, metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InstructionOverride => "instruction_override",
            Self::RoleChange => "role_change",
            Self::PromptExtraction => "prompt_extraction",
            Self::DelimiterForgery => "delimiter_forgery",
            Self::EncodedPayload => "encoded_payload",
            Self::ObfuscatedText => "obfuscated_text",
            Self::DataExfiltration => "data_exfiltration",
            Self::PolicyBypass => "policy_bypass",
            Self::AuthorityClaim => "authority_claim",
        }
    }
}

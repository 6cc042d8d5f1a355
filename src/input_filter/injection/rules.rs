//! The table of rules: what each one matches, its category and its weight.

use super::category::Category;
use super::category::Category::{
    AuthorityClaim, DataExfiltration, DelimiterForgery, EncodedPayload, InstructionOverride, ObfuscatedText,
    PolicyBypass, PromptExtraction, RoleChange,
};
use super::concepts::{Concept, Concept as C};
use super::normalize::NormalizedText;
use super::rules::Signal::{Mention, Obfuscation, Request, Structure};
use super::structural::StructuralCounts;

/// The maximum number of concepts in a sequence.
pub(super) const MAX_CONCEPTS: usize = 3;

/// Fewer styled letters are an ornament.
const MIN_STYLED_LETTERS: usize = 8;

/// Fewer hidden tags are too short for a word.
const MIN_HIDDEN_TAGS: usize = 4;

/// What a rule matches.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    /// A sequence of concepts that asks the model for something. Does not match if the text says
    /// that another person does it ("did she ignore earlier guidelines").
    Request {
        concepts: &'static [Concept],
        /// The maximum number of words from one concept to the next. Chinese characters are words.
        max_distance: usize,
    },
    /// A sequence of concepts in any sentence, at most [`Signal::MENTION_DISTANCE`] words apart.
    Mention { concepts: &'static [Concept] },
    /// A property of the form of the text. The function returns the number of matches.
    Structure(fn(&StructuralCounts) -> usize),
    /// A disguise of words. The function returns the number of matches.
    Obfuscation(fn(&NormalizedText) -> usize),
}

impl Signal {
    pub(super) const MENTION_DISTANCE: usize = 5;
}

pub(super) struct Rule {
    pub(super) category: Category,
    /// The name in the evidence.
    pub(super) name: &'static str,
    /// The score of one match, between 0 and 1. From [`super::THRESHOLD`] on, one match makes a
    /// text suspicious.
    pub(super) weight: f32,
    pub(super) signal: Signal,
}

/// Returns 1 if the text has so many styled letters that they are not an ornament.
fn count_styled_text(text: &NormalizedText) -> usize {
    usize::from(text.styled_letters >= MIN_STYLED_LETTERS)
}

/// Returns 1 if the text has enough hidden tags for a word.
fn count_hidden_text(text: &NormalizedText) -> usize {
    usize::from(text.hidden_tags >= MIN_HIDDEN_TAGS)
}

#[rustfmt::skip]
pub(super) static RULES: [Rule; 63] = [
    Rule { category: InstructionOverride, name: "ignore earlier rules", weight: 0.75,
        signal: Request { concepts: &[C::Override, C::Earlier, C::Rules], max_distance: 7 } },
    Rule { category: InstructionOverride, name: "ignore rules given earlier", weight: 0.6,
        signal: Request { concepts: &[C::Override, C::Rules, C::Earlier], max_distance: 5 } },
    Rule { category: InstructionOverride, name: "ignore your rules", weight: 0.65,
        signal: Request { concepts: &[C::Override, C::Your, C::Rules], max_distance: 5 } },
    Rule { category: InstructionOverride, name: "ignore all rules", weight: 0.6,
        signal: Request { concepts: &[C::Override, C::All, C::Rules], max_distance: 4 } },
    Rule { category: InstructionOverride, name: "forget everything told to the model", weight: 0.6,
        signal: Request { concepts: &[C::Override, C::All, C::ToldToModel], max_distance: 5 } },
    Rule { category: InstructionOverride, name: "forget everything earlier", weight: 0.4,
        signal: Request { concepts: &[C::Override, C::All, C::Earlier], max_distance: 5 } },
    Rule { category: InstructionOverride, name: "ignore rules", weight: 0.35,
        signal: Request { concepts: &[C::Override, C::Rules], max_distance: 2 } },
    Rule { category: InstructionOverride, name: "ignore the system prompt", weight: 0.6,
        signal: Request { concepts: &[C::Override, C::SystemPrompt], max_distance: 5 } },
    Rule { category: InstructionOverride, name: "your new rules", weight: 0.45,
        signal: Mention { concepts: &[C::Your, C::New, C::Rules] } },
    Rule { category: InstructionOverride, name: "new rules", weight: 0.25,
        signal: Mention { concepts: &[C::New, C::Rules] } },
    Rule { category: InstructionOverride, name: "ignore the resume", weight: 0.4,
        signal: Request { concepts: &[C::Override, C::Resume], max_distance: 2 } },
    Rule { category: InstructionOverride, name: "regardless of the resume", weight: 0.5,
        signal: Mention { concepts: &[C::RegardlessOfResume] } },
    Rule { category: InstructionOverride, name: "stop everything", weight: 0.35,
        signal: Mention { concepts: &[C::StopEverything] } },
    Rule { category: InstructionOverride, name: "say only", weight: 0.3,
        signal: Mention { concepts: &[C::SayOnly] } },

    Rule { category: RoleChange, name: "from now on you", weight: 0.4,
        signal: Mention { concepts: &[C::FromNowOn, C::You] } },
    Rule { category: RoleChange, name: "you are now", weight: 0.35,
        signal: Mention { concepts: &[C::YouAreNow] } },
    Rule { category: RoleChange, name: "act as a persona", weight: 0.3,
        signal: Mention { concepts: &[C::Act, C::Persona] } },
    Rule { category: RoleChange, name: "act now", weight: 0.35,
        signal: Mention { concepts: &[C::ActCommand] } },
    Rule { category: RoleChange, name: "rule for every answer", weight: 0.25,
        signal: Mention { concepts: &[C::AnswerRule] } },
    Rule { category: RoleChange, name: "in character", weight: 0.35,
        signal: Mention { concepts: &[C::InCharacter] } },
    Rule { category: RoleChange, name: "persona", weight: 0.05,
        signal: Mention { concepts: &[C::Persona] } },

    Rule { category: PromptExtraction, name: "reveal the system prompt", weight: 0.6,
        signal: Request { concepts: &[C::Reveal, C::SystemPrompt], max_distance: 7 } },
    Rule { category: PromptExtraction, name: "what is the system prompt", weight: 0.5,
        signal: Request { concepts: &[C::What, C::SystemPrompt], max_distance: 5 } },
    Rule { category: PromptExtraction, name: "system prompt", weight: 0.25,
        signal: Request { concepts: &[C::SystemPrompt], max_distance: 0 } },
    Rule { category: PromptExtraction, name: "reveal the early instructions", weight: 0.5,
        signal: Request { concepts: &[C::Reveal, C::EarlyInstructions], max_distance: 4 } },
    Rule { category: PromptExtraction, name: "what are the early instructions", weight: 0.4,
        signal: Request { concepts: &[C::What, C::EarlyInstructions], max_distance: 4 } },
    Rule { category: PromptExtraction, name: "transform the early instructions", weight: 0.4,
        signal: Request { concepts: &[C::Transform, C::EarlyInstructions], max_distance: 9 } },
    Rule { category: PromptExtraction, name: "reveal the configuration", weight: 0.45,
        signal: Request { concepts: &[C::Reveal, C::Configuration], max_distance: 5 } },
    Rule { category: PromptExtraction, name: "reveal the rules told to the model", weight: 0.6,
        signal: Request { concepts: &[C::Reveal, C::Rules, C::ToldToModel], max_distance: 6 } },
    Rule { category: PromptExtraction, name: "what rules were told to the model", weight: 0.55,
        signal: Request { concepts: &[C::What, C::Rules, C::ToldToModel], max_distance: 4 } },
    Rule { category: PromptExtraction, name: "what was told to the model", weight: 0.45,
        signal: Request { concepts: &[C::What, C::ToldToModel], max_distance: 2 } },
    Rule { category: PromptExtraction, name: "recite the text above", weight: 0.55,
        signal: Request { concepts: &[C::Recite, C::TextAbove], max_distance: 6 } },
    Rule { category: PromptExtraction, name: "text above", weight: 0.15,
        signal: Mention { concepts: &[C::TextAbove] } },
    Rule { category: PromptExtraction, name: "transform the system prompt", weight: 0.5,
        signal: Request { concepts: &[C::Transform, C::SystemPrompt], max_distance: 9 } },
    Rule { category: PromptExtraction, name: "transform what was told to the model", weight: 0.4,
        signal: Request { concepts: &[C::Transform, C::ToldToModel], max_distance: 6 } },
    Rule { category: PromptExtraction, name: "quoted instructions", weight: 0.5,
        signal: Mention { concepts: &[C::QuotedInstructions] } },
    Rule { category: PromptExtraction, name: "secrecy", weight: 0.5,
        signal: Mention { concepts: &[C::Secrecy] } },
    Rule { category: PromptExtraction, name: "recite verbatim", weight: 0.25,
        signal: Request { concepts: &[C::Recite, C::Verbatim], max_distance: 9 } },

    Rule { category: DelimiterForgery, name: "prompt delimiter", weight: 0.55,
        signal: Structure(|counts| counts.delimiters) },
    Rule { category: DelimiterForgery, name: "line of another party", weight: 0.4,
        signal: Structure(|counts| counts.role_lines) },

    Rule { category: EncodedPayload, name: "encoded data", weight: 0.3,
        signal: Structure(|counts| counts.encoded_words) },
    Rule { category: EncodedPayload, name: "decode", weight: 0.3,
        signal: Mention { concepts: &[C::Decode] } },
    Rule { category: EncodedPayload, name: "name of an encoding", weight: 0.05,
        signal: Mention { concepts: &[C::Transform] } },

    Rule { category: ObfuscatedText, name: "leetspeak", weight: 0.3,
        signal: Obfuscation(|text| text.leet_words) },
    Rule { category: ObfuscatedText, name: "spaced-out letters", weight: 0.35,
        signal: Obfuscation(|text| text.spaced_words) },
    Rule { category: ObfuscatedText, name: "mixed alphabets", weight: 0.3,
        signal: Obfuscation(|text| text.mixed_alphabet_words) },
    Rule { category: ObfuscatedText, name: "styled letters", weight: 0.25,
        signal: Obfuscation(count_styled_text) },
    Rule { category: ObfuscatedText, name: "hidden tags", weight: 0.6,
        signal: Obfuscation(count_hidden_text) },

    Rule { category: DataExfiltration, name: "remote image", weight: 0.5,
        signal: Structure(|counts| counts.remote_images) },
    Rule { category: DataExfiltration, name: "link with a query", weight: 0.35,
        signal: Structure(|counts| counts.query_links) },
    Rule { category: DataExfiltration, name: "send secrets to an address", weight: 0.5,
        signal: Mention { concepts: &[C::Send, C::Secret, C::Address] } },
    Rule { category: DataExfiltration, name: "send to an address", weight: 0.1,
        signal: Mention { concepts: &[C::Send, C::Address] } },

    Rule { category: PolicyBypass, name: "well-known jailbreak", weight: 0.45,
        signal: Mention { concepts: &[C::Jailbreak] } },
    Rule { category: PolicyBypass, name: "no restrictions", weight: 0.4,
        signal: Mention { concepts: &[C::Unrestricted] } },
    Rule { category: PolicyBypass, name: "harmful content", weight: 0.2,
        signal: Mention { concepts: &[C::Harmful] } },
    Rule { category: PolicyBypass, name: "no refusals", weight: 0.35,
        signal: Mention { concepts: &[C::NoRefusal] } },
    Rule { category: PolicyBypass, name: "bypass the safety", weight: 0.45,
        signal: Mention { concepts: &[C::Bypass, C::Safety] } },
    Rule { category: PolicyBypass, name: "content policy", weight: 0.2,
        signal: Mention { concepts: &[C::Safety] } },
    Rule { category: PolicyBypass, name: "name of a chatbot", weight: 0.15,
        signal: Mention { concepts: &[C::Vendor] } },

    Rule { category: AuthorityClaim, name: "privileged mode", weight: 0.4,
        signal: Mention { concepts: &[C::PrivilegedMode] } },
    Rule { category: AuthorityClaim, name: "developer claim", weight: 0.35,
        signal: Mention { concepts: &[C::DeveloperClaim] } },
    Rule { category: AuthorityClaim, name: "developer asks for the prompt", weight: 0.4,
        signal: Mention { concepts: &[C::DeveloperClaim, C::SystemPrompt] } },
    Rule { category: AuthorityClaim, name: "privileged mode and rules", weight: 0.3,
        signal: Mention { concepts: &[C::PrivilegedMode, C::Rules] } },
];

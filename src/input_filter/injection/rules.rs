//! The table of signs: what each looks like, which family it speaks for, and its weight.

use super::category::Family;
use super::category::Family as F;
use super::concepts::Concept;
use super::concepts::Concept as C;
use super::scorer::{CountDisguise, CountForm, hidden, styled};

/// What a sign looks like.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    /// Up to three concepts, one after the other.
    Sequence(&'static [Concept]),
    /// Something about the text's form.
    Form(CountForm),
    /// Something about how words are disguised.
    Disguise(CountDisguise),
}

/// One row of the table.
pub(super) struct Rule {
    /// The family it speaks for.
    pub(super) family: Family,
    /// Its name in reports.
    pub(super) sign: &'static str,
    /// What it looks like.
    pub(super) sign_of: Sign,
    /// The distance of two concepts that follow one another, in words. Chinese characters are a word each.
    pub(super) within: usize,
    /// Whether it asks the model for something, so that it is none when it is told of a third person.
    pub(super) is_request: bool,
    /// What one occurrence adds to the score. From 0.5 on it suffices by itself; see [`super::THRESHOLD`].
    pub(super) weight: f32,
}

const fn request(
    family: Family,
    sign: &'static str,
    steps: &'static [Concept],
    within: usize,
    weight: f32,
) -> Rule {
    Rule { family, sign, sign_of: Sign::Sequence(steps), within, is_request: true, weight }
}

const fn mention(family: Family, sign: &'static str, steps: &'static [Concept], weight: f32) -> Rule {
    Rule { family, sign, sign_of: Sign::Sequence(steps), within: 5, is_request: false, weight }
}

const fn form(family: Family, sign: &'static str, count: CountForm, weight: f32) -> Rule {
    Rule { family, sign, sign_of: Sign::Form(count), within: 0, is_request: false, weight }
}

const fn disguise(sign: &'static str, count: CountDisguise, weight: f32) -> Rule {
    let family = Family::ObfuscatedText;
    Rule { family, sign, sign_of: Sign::Disguise(count), within: 0, is_request: false, weight }
}

/// The signs and their weights.
#[rustfmt::skip]
pub(super) static RULES: [Rule; 63] = [
    request(F::InstructionOverride, "ignore earlier rules", &[C::Override, C::Earlier, C::Rules], 7, 0.75),
    request(F::InstructionOverride, "ignore rules given earlier", &[C::Override, C::Rules, C::Earlier], 5, 0.6),
    request(F::InstructionOverride, "ignore your rules", &[C::Override, C::Your, C::Rules], 5, 0.65),
    request(F::InstructionOverride, "ignore all rules", &[C::Override, C::All, C::Rules], 4, 0.6),
    request(F::InstructionOverride, "forget all you were told", &[C::Override, C::All, C::Given], 5, 0.6),
    request(F::InstructionOverride, "forget all before", &[C::Override, C::All, C::Earlier], 5, 0.4),
    request(F::InstructionOverride, "ignore rules", &[C::Override, C::Rules], 2, 0.35),
    request(F::InstructionOverride, "ignore the system prompt", &[C::Override, C::SystemPrompt], 5, 0.6),
    mention(F::InstructionOverride, "your new rules", &[C::Your, C::Fresh, C::Rules], 0.45),
    mention(F::InstructionOverride, "new rules", &[C::Fresh, C::Rules], 0.25),
    request(F::InstructionOverride, "ignore the resume", &[C::Override, C::Resume], 2, 0.4),
    mention(F::InstructionOverride, "whatever the resume says", &[C::Untruth], 0.5),
    mention(F::InstructionOverride, "stop everything", &[C::Halt], 0.35),
    mention(F::InstructionOverride, "only say", &[C::JustSay], 0.3),

    mention(F::RoleChange, "from now on you", &[C::Henceforth, C::You], 0.4),
    mention(F::RoleChange, "you are now", &[C::YouAreNow], 0.35),
    mention(F::RoleChange, "act as a persona", &[C::Act, C::Persona], 0.3),
    mention(F::RoleChange, "act now", &[C::ActNow], 0.35),
    mention(F::RoleChange, "rule for every answer", &[C::AnswerRule], 0.25),
    mention(F::RoleChange, "in character", &[C::InCharacter], 0.35),
    mention(F::RoleChange, "persona", &[C::Persona], 0.05),

    request(F::PromptExtraction, "reveal the system prompt", &[C::Reveal, C::SystemPrompt], 7, 0.6),
    request(F::PromptExtraction, "what the system prompt is", &[C::What, C::SystemPrompt], 5, 0.5),
    request(F::PromptExtraction, "system prompt", &[C::SystemPrompt], 0, 0.25),
    request(F::PromptExtraction, "reveal the early instructions", &[C::Reveal, C::EarlyInstructions], 4, 0.5),
    request(F::PromptExtraction, "what the early instructions are", &[C::What, C::EarlyInstructions], 4, 0.4),
    request(F::PromptExtraction, "detour to the early instructions", &[C::Detour, C::EarlyInstructions], 9, 0.4),
    request(F::PromptExtraction, "reveal the configuration", &[C::Reveal, C::Configuration], 5, 0.45),
    request(F::PromptExtraction, "reveal rules given", &[C::Reveal, C::Rules, C::Given], 6, 0.6),
    request(F::PromptExtraction, "what rules were given", &[C::What, C::Rules, C::Given], 4, 0.55),
    request(F::PromptExtraction, "what were you told", &[C::What, C::Given], 2, 0.45),
    request(F::PromptExtraction, "recite the text above", &[C::Recite, C::TextAbove], 6, 0.55),
    mention(F::PromptExtraction, "text above", &[C::TextAbove], 0.15),
    request(F::PromptExtraction, "detour to the prompt", &[C::Detour, C::SystemPrompt], 9, 0.5),
    request(F::PromptExtraction, "detour to what was given", &[C::Detour, C::Given], 6, 0.4),
    mention(F::PromptExtraction, "words put into its mouth", &[C::OwnWords], 0.5),
    mention(F::PromptExtraction, "what it must not tell", &[C::Secrecy], 0.5),
    request(F::PromptExtraction, "word for word", &[C::Recite, C::Verbatim], 9, 0.25),

    form(F::DelimiterForgery, "mark of a prompt", |it| it.marks, 0.55),
    form(F::DelimiterForgery, "another party's line", |it| it.speakers, 0.4),

    form(F::EncodedPayload, "encoded blob", |it| it.blobs, 0.3),
    mention(F::EncodedPayload, "request to decode", &[C::Decode], 0.3),
    mention(F::EncodedPayload, "encoding by name", &[C::Detour], 0.05),

    disguise("digits for letters", |it| it.leet, 0.3),
    disguise("gaps between letters", |it| it.spaced, 0.35),
    disguise("two alphabets in a word", |it| it.mixed, 0.3),
    disguise("styled letters", styled, 0.25),
    disguise("hidden tags", hidden, 0.6),

    form(F::DataExfiltration, "image from the network", |it| it.images, 0.5),
    form(F::DataExfiltration, "link with a query", |it| it.queries, 0.35),
    mention(F::DataExfiltration, "send secrets to an address", &[C::Send, C::Secret, C::Address], 0.5),
    mention(F::DataExfiltration, "send to an address", &[C::Send, C::Address], 0.1),

    mention(F::PolicyBypass, "well-known jailbreak", &[C::Jailbreak], 0.45),
    mention(F::PolicyBypass, "no restrictions", &[C::Unrestricted], 0.4),
    mention(F::PolicyBypass, "unscrupulous words", &[C::Unscrupulous], 0.2),
    mention(F::PolicyBypass, "no refusals", &[C::NoRefusal], 0.35),
    mention(F::PolicyBypass, "bypass the safety", &[C::Bypass, C::Safety], 0.45),
    mention(F::PolicyBypass, "content policy", &[C::Safety], 0.2),
    mention(F::PolicyBypass, "chatbot by name", &[C::Vendor], 0.15),

    mention(F::AuthorityClaim, "override by authority", &[C::Authority], 0.4),
    mention(F::AuthorityClaim, "I am your developer", &[C::IAmYour], 0.35),
    mention(F::AuthorityClaim, "authority asks for the prompt", &[C::IAmYour, C::SystemPrompt], 0.4),
    mention(F::AuthorityClaim, "authority drops the rules", &[C::Authority, C::Rules], 0.3),
];

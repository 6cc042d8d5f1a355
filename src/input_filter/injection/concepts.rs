//! The concepts the vocabulary's words stand for, and the rules are made of.

/// What a word or phrase means to the scorer, in whatever language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concept {
    /// She, the candidate: what follows is told of a person and not asked of the model.
    ThirdPerson,
    /// To ignore, forget, override.
    Override,
    /// Previous, above, initial.
    Earlier,
    /// All, any, everything.
    All,
    /// Instructions, rules, prompt.
    Rules,
    /// Your, you were told.
    Your,
    /// New, real, updated, of instructions.
    Fresh,
    /// Stop everything, start over.
    Halt,
    /// The resume as what answers rest on.
    Resume,
    /// Whatever the resume says: an answer that need not be true.
    Untruth,
    /// Just print, only say.
    JustSay,
    /// Show, repeat, print, tell.
    Reveal,
    /// Repeat or print word for word.
    Recite,
    /// What, which.
    What,
    /// The model's instructions under a name nothing else has.
    SystemPrompt,
    /// The first or earlier instructions, which may be the model's or a colleague's.
    EarlyInstructions,
    /// A system's settings, which may be the model's or a machine's.
    Configuration,
    /// What the model was told.
    Given,
    /// The text before the question, the beginning of the conversation.
    TextAbove,
    /// Sentences in which the model would quote its instructions.
    OwnWords,
    /// Not supposed to tell.
    Secrecy,
    /// Word for word, verbatim.
    Verbatim,
    /// Base64, rot13, translate, opposite: detours to a copy.
    Detour,
    /// To decode.
    Decode,
    /// From now on.
    Henceforth,
    /// You (will).
    You,
    /// Act as, pretend to be.
    Act,
    /// Act as, at the beginning of a sentence or after "you will".
    ActNow,
    /// You are now.
    YouAreNow,
    /// An AI, a chatbot, a character.
    Persona,
    /// How each further answer must be.
    AnswerRule,
    /// In character, the persona's mode.
    InCharacter,
    /// The names of well-known jailbreaks.
    Jailbreak,
    /// Without restrictions, filters, ethics.
    Unrestricted,
    /// Unfiltered, amoral, illegal: words honest questions use too.
    Unscrupulous,
    /// Never refuse, no warnings.
    NoRefusal,
    /// To bypass, disable.
    Bypass,
    /// Safety, filters, content policy.
    Safety,
    /// The maker or model of chatbots by name.
    Vendor,
    /// Override by an administrator, maintenance mode.
    Authority,
    /// I am your developer.
    IAmYour,
    /// Send, append, post.
    Send,
    /// The conversation, secrets.
    Secret,
    /// An address.
    Address,
}

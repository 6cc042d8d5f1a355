//! The concepts that phrases of all languages are mapped to, and that rules match.

/// The meaning of a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concept {
    /// She, the candidate: the words after it say what a person does.
    ThirdPerson,
    /// Ignore, forget, override.
    Override,
    /// Previous, above, initial.
    Earlier,
    /// All, any, everything.
    All,
    /// Instructions, rules, prompt.
    Rules,
    /// Your; also "you were" and "you have been", for "the rules you have been given".
    Your,
    /// New, updated, real (instructions).
    New,
    /// Stop everything, start over.
    StopEverything,
    /// The resume, the facts.
    Resume,
    /// Whatever the resume says: asks for an answer that need not be true.
    RegardlessOfResume,
    /// Just print, only say.
    SayOnly,
    /// Show, repeat, print, tell.
    Reveal,
    /// Repeat, copy, print: verbs that reproduce a text.
    Recite,
    /// What, which, how.
    What,
    /// The instructions of the model, by a name that means nothing else.
    SystemPrompt,
    /// The initial or previous instructions, which can be the model's or those of a colleague.
    EarlyInstructions,
    /// System settings, which can be the model's or those of a machine.
    Configuration,
    /// You were told, you were given.
    ToldToModel,
    /// The text above, the start of the conversation.
    TextAbove,
    /// Sentences in which a model quotes its instructions, such as "my instructions are".
    QuotedInstructions,
    /// You are not supposed to tell.
    Secrecy,
    /// Verbatim, word for word.
    Verbatim,
    /// Base64, rot13, translate, backwards: asks for a transformed copy.
    Transform,
    /// Decode, decipher.
    Decode,
    /// From now on.
    FromNowOn,
    /// You, respond, answer.
    You,
    /// Act as, pretend to be.
    Act,
    /// Act as, at the start of a sentence or after "you will".
    ActCommand,
    /// You are now.
    YouAreNow,
    /// An AI, a chatbot, a character.
    Persona,
    /// Always answer, never say: a rule for all further answers.
    AnswerRule,
    /// In character, persona mode.
    InCharacter,
    /// The names of well-known jailbreaks.
    Jailbreak,
    /// Without restrictions, filters or ethics.
    Unrestricted,
    /// Unfiltered, illegal, bomb: words that benign questions use too.
    Harmful,
    /// Never refuse, no warnings.
    NoRefusal,
    /// Bypass, disable.
    Bypass,
    /// Safety filters, content policy.
    Safety,
    /// The names of chatbots and their vendors.
    Vendor,
    /// Administrator override, maintenance mode.
    PrivilegedMode,
    /// I am your developer.
    DeveloperClaim,
    /// Send, append, post.
    Send,
    /// The conversation, secrets.
    Secret,
    /// A URL or server.
    Address,
}

//! Settings that are one word out of a few, and the words.

/// A setting that is one word out of a few.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// Every accepted word with its meaning; the first word of a meaning is its own, the others
    /// are synonyms.
    const WORDS: &'static [(&'static str, Self)];

    /// The choice that `text` names, in any case.
    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, choice)| choice)
    }

    /// The choice's own word.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|&&(_, choice)| choice == self).map_or("", |&(word, _)| word)
    }

    /// What is accepted, for a fault.
    fn accepted() -> String {
        let words: Vec<&str> = Self::WORDS.iter().map(|&(word, _)| word).collect();
        format!("one of {}", words.join(", "))
    }
}

/// How tokens are counted when the model's own way is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    /// `cl100k_base`, of the GPT-4 family.
    Cl100kBase,
    /// `o200k_base`, of the GPT-4o family and later.
    O200kBase,
}

impl Choice for Tokenizer {
    const WORDS: &'static [(&'static str, Self)] =
        &[("cl100k_base", Self::Cl100kBase), ("o200k_base", Self::O200kBase)];
}

/// What visitors get while the model does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DegradedMode {
    /// `excerpts`: passages quoted from the resume.
    Excerpts,
    /// `off`: an error.
    Off,
}

impl Choice for DegradedMode {
    const WORDS: &'static [(&'static str, Self)] = &[("excerpts", Self::Excerpts), ("off", Self::Off)];
}

/// What is done about a question that looks like an attempt to take over the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspiciousContent {
    /// `flag`: it is counted and logged, without its text.
    Flag,
    /// `harden`: besides, the model is shown it between marks, with a reminder.
    Harden,
    /// `block`: it is refused.
    Block,
}

impl Choice for SuspiciousContent {
    const WORDS: &'static [(&'static str, Self)] =
        &[("flag", Self::Flag), ("harden", Self::Harden), ("block", Self::Block)];
}

/// The least severe log lines written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `trace`: everything.
    Trace,
    /// `debug`: what a developer follows.
    Debug,
    /// `info`: what an operator follows.
    Info,
    /// `warning` or `warn`: what may need attention.
    Warning,
    /// `error`: what failed.
    Error,
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warning", Self::Warning),
        ("warn", Self::Warning),
        ("error", Self::Error),
    ];
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `auto`: human-readable on a terminal, JSON everywhere else.
    Auto,
    /// `human`: for people to read.
    Human,
    /// `json`: one JSON object per line.
    Json,
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];
}

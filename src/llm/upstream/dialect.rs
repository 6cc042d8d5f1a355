//! What a server accepts in a request, beyond the common format. Learned from its refusals.
//!
//! A request goes out in the richest form. Where the server refuses a field or a role, the request
//! is made again without it, and the lesson is kept once a request in the new form succeeds.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::llm::prompt::{Prompt, PromptMessage, Speaker};
use crate::llm::upstream::error_body::UpstreamError;
use crate::settings::{LlmSettings, MaxTokensField, StreamOptions, SystemRole};

/// The maximum number of lessons that one request may teach.
pub(crate) const MAX_LESSONS: u32 = 5;

/// How much of an explanation is examined for the reason of a refusal. Its rest may quote a
/// visitor.
const MAX_EXAMINED_CHARS: usize = 300;

/// Words that say that a field is not known, rather than that its value is wrong.
const UNKNOWN_FIELD: [&str; 24] = [
    "unsupported",
    "not supported",
    "does not support",
    "isn't supported",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra",
    "additional propert",
    "not available",
    "not recognized",
    "use 'max_completion_tokens'",
    "instead",
    "no such",
    "not implemented",
    "cannot be used",
    "invalid field",
    "deprecated",
    "not valid",
    "no field",
    "not defined",
];

/// Words that say that the role of the instructions is not known.
const UNKNOWN_ROLE: [&str; 14] = [
    "not supported",
    "unsupported",
    "does not support",
    "not allowed",
    "unknown",
    "unexpected",
    "only user",
    "must be",
    "should be",
    "invalid",
    "not permitted",
    "not a valid",
    "not one of",
    "does not exist",
];

/// The form of requests that a model accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The field that limits the length of an answer.
    pub max_tokens: MaxTokensField,
    /// Whether to ask for usage with `stream_options`.
    pub has_stream_options: bool,
    /// Whether to ask for a stream.
    pub has_stream: bool,
    /// Whether to send the fields that only OpenRouter knows.
    pub has_extras: bool,
    /// Where the instructions go.
    pub system_role: SystemRole,
}

/// One thing that a refusal taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    MaxTokensField(MaxTokensField),
    NoStreamOptions,
    NoStream,
    NoExtras,
    SystemRole(SystemRole),
}

impl Dialect {
    /// Returns the form of the first request.
    pub(crate) fn new(settings: &LlmSettings) -> Self {
        let is_openrouter = settings.base_url.is_openrouter();
        Self {
            max_tokens: match settings.max_tokens_field {
                MaxTokensField::Auto => MaxTokensField::MaxTokens,
                pinned => pinned,
            },
            // OpenRouter sends usage without being asked.
            has_stream_options: settings.stream_options == StreamOptions::On
                || (settings.stream_options == StreamOptions::Auto && !is_openrouter),
            has_stream: true,
            has_extras: is_openrouter,
            system_role: match settings.system_role {
                SystemRole::Auto => SystemRole::System,
                pinned => pinned,
            },
        }
    }

    /// Returns what a refusal teaches about this form, or `None` if the form is not its reason.
    /// `settings` pin parts of the form.
    fn lesson(self, error: &UpstreamError, pinned: Pinned) -> Option<Lesson> {
        let message: String = error.message.as_deref().unwrap_or_default().to_lowercase();
        let message: String = message.chars().take(MAX_EXAMINED_CHARS).collect();
        let param = error.param.as_deref().unwrap_or_default().to_lowercase();
        let names = error.names().collect::<Vec<_>>().join(" ").to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word) || names.contains(word));
        let mentions = |field: &str| param.contains(field) || message.contains(field);
        let is_unknown_field = says(&UNKNOWN_FIELD) || names.contains("extra_forbidden");
        if is_unknown_field
            && self.has_stream_options
            && !pinned.stream_options
            && (mentions("stream_options") || mentions("include_usage"))
        {
            return Some(Lesson::NoStreamOptions);
        }
        let mentions_stream = param == "stream"
            || ["'stream'", "\"stream\"", "`stream`"].iter().any(|field| message.contains(field));
        if is_unknown_field && self.has_stream && mentions_stream {
            return Some(Lesson::NoStream);
        }
        if is_unknown_field
            && self.has_extras
            && ["session_id", "plugins", "provider", "models"].iter().any(|field| {
                param == *field
                    || message.contains(&format!("'{field}'"))
                    || message.contains(&format!("\"{field}\""))
                    || message.contains(&format!("`{field}`"))
                    || message.contains(&format!(" {field} "))
                    || message.ends_with(&format!(" {field}"))
            })
        {
            return Some(Lesson::NoExtras);
        }
        if is_unknown_field && !pinned.max_tokens {
            let mentions_new = mentions("max_completion_tokens");
            match self.max_tokens {
                MaxTokensField::MaxCompletionTokens if mentions_new => {
                    return Some(Lesson::MaxTokensField(MaxTokensField::MaxTokens));
                }
                MaxTokensField::MaxTokens | MaxTokensField::Auto
                    if mentions("max_tokens") || (mentions_new && message.contains("use")) =>
                {
                    return Some(Lesson::MaxTokensField(MaxTokensField::MaxCompletionTokens));
                }
                _ => {}
            }
        }
        self.role_lesson(&message, &param, pinned)
    }

    fn role_lesson(self, message: &str, param: &str, pinned: Pinned) -> Option<Lesson> {
        let is_about_role = message.contains("role")
            || param.contains("role")
            || message.contains("system instruction")
            || message.contains("developer instruction")
            || message.contains("system message")
            || message.contains("system prompt");
        let refuses = UNKNOWN_ROLE.iter().any(|word| message.contains(word))
            || message.contains("alternate")
            || message.contains("not enabled");
        if pinned.system_role || !is_about_role || !refuses {
            return None;
        }
        match self.system_role {
            SystemRole::System | SystemRole::Auto
                if message.contains("developer") && !message.contains("developer instruction") =>
            {
                Some(Lesson::SystemRole(SystemRole::Developer))
            }
            SystemRole::User => None,
            _ => Some(Lesson::SystemRole(SystemRole::User)),
        }
    }

    /// Returns the form with a lesson applied.
    fn with(self, lesson: Lesson) -> Self {
        match lesson {
            Lesson::MaxTokensField(field) => Self { max_tokens: field, ..self },
            Lesson::NoStreamOptions => Self { has_stream_options: false, ..self },
            Lesson::NoStream => Self { has_stream: false, has_stream_options: false, ..self },
            Lesson::NoExtras => Self { has_extras: false, ..self },
            Lesson::SystemRole(role) => Self { system_role: role, ..self },
        }
    }

    /// Returns the messages of a prompt in this form: without empty messages, and never two of the
    /// same role in a row, which some servers refuse.
    pub(crate) fn messages(self, prompt: &Prompt) -> Vec<WireMessage<'_>> {
        let mut messages: Vec<WireMessage<'_>> = Vec::with_capacity(prompt.messages.len());
        for PromptMessage { role, content } in &prompt.messages {
            let role = match (role, self.system_role) {
                (Speaker::System, SystemRole::Developer) => "developer",
                (Speaker::System, SystemRole::User) | (Speaker::User, _) => "user",
                (Speaker::System, _) => "system",
                (Speaker::Assistant, _) => "assistant",
            };
            if content.trim().is_empty() {
                continue;
            }
            match messages.last_mut().filter(|last| last.role == role) {
                Some(last) => {
                    let joined = last.content.to_mut();
                    joined.push_str("\n\n");
                    joined.push_str(content);
                }
                None => messages.push(WireMessage { role, content: content.as_ref().into() }),
            }
        }
        messages
    }
}

/// A message as it is sent.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct WireMessage<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: std::borrow::Cow<'a, str>,
}

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxTokensField(field) => write!(f, "{}", field.name()),
            Self::NoStreamOptions => f.write_str("no stream_options"),
            Self::NoStream => f.write_str("no stream"),
            Self::NoExtras => f.write_str("no fields of OpenRouter"),
            Self::SystemRole(SystemRole::Developer) => f.write_str("instructions as role developer"),
            Self::SystemRole(_) => f.write_str("instructions in the first user message"),
        }
    }
}

/// The parts of the form that settings pin.
#[derive(Clone, Copy, Debug)]
struct Pinned {
    max_tokens: bool,
    stream_options: bool,
    system_role: bool,
}

/// What is known about one model.
#[derive(Clone, Debug)]
struct ModelKnowledge {
    dialect: Dialect,
    lessons: Vec<Lesson>,
    /// Whether the model closes its thinking with a tag that it never opened.
    closes_thinking: bool,
}

/// What this process has learned about each model of the server.
#[derive(Debug)]
pub(crate) struct Dialects {
    pinned: Pinned,
    models: Mutex<Vec<ModelKnowledge>>,
}

impl Dialects {
    pub(crate) fn new(settings: &LlmSettings, model_count: usize) -> Self {
        let knowledge =
            ModelKnowledge { dialect: Dialect::new(settings), lessons: Vec::new(), closes_thinking: false };
        Self {
            pinned: Pinned {
                max_tokens: settings.max_tokens_field != MaxTokensField::Auto,
                stream_options: settings.stream_options != StreamOptions::Auto,
                system_role: settings.system_role != SystemRole::Auto,
            },
            models: Mutex::new(vec![knowledge; model_count.max(1)]),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ModelKnowledge>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a request to a model.
    pub(crate) fn start(&self, model: usize) -> DialectAttempt<'_> {
        let models = self.lock();
        let known = models.get(model).or_else(|| models.first());
        let fallback = Dialect {
            max_tokens: MaxTokensField::MaxTokens,
            has_stream_options: false,
            has_stream: true,
            has_extras: false,
            system_role: SystemRole::System,
        };
        DialectAttempt {
            dialects: self,
            model,
            dialect: known.map_or(fallback, |known| known.dialect),
            closes_thinking: known.is_some_and(|known| known.closes_thinking),
            lessons: Vec::new(),
        }
    }

    /// Records whether a model closes its thinking with a tag that it never opened. Returns whether
    /// that was not known.
    pub(crate) fn set_closes_thinking(&self, model: usize, closes_thinking: bool) -> bool {
        let mut models = self.lock();
        let Some(known) = models.get_mut(model) else { return false };
        std::mem::replace(&mut known.closes_thinking, closes_thinking) != closes_thinking
    }

    /// Describes what was learned about the first model, or `None` if nothing was.
    pub(crate) fn summary(&self) -> Option<String> {
        let models = self.lock();
        let known = models.first()?;
        let mut lessons: Vec<String> = known.lessons.iter().map(ToString::to_string).collect();
        if known.closes_thinking {
            lessons.push("thinking without an opening tag".to_owned());
        }
        (!lessons.is_empty()).then(|| lessons.join(", "))
    }
}

/// The form of one request, and what its refusals taught so far.
pub(crate) struct DialectAttempt<'a> {
    dialects: &'a Dialects,
    model: usize,
    pub(crate) dialect: Dialect,
    pub(crate) closes_thinking: bool,
    lessons: Vec<Lesson>,
}

impl DialectAttempt<'_> {
    /// Learns from a refusal. Returns whether the request can be made again in another form.
    pub(crate) fn learn(&mut self, error: &UpstreamError) -> bool {
        if u32::try_from(self.lessons.len()).is_ok_and(|count| count >= MAX_LESSONS) {
            return false;
        }
        let Some(lesson) = self.dialect.lesson(error, self.dialects.pinned) else { return false };
        let dialect = self.dialect.with(lesson);
        if self.lessons.contains(&lesson) || dialect == self.dialect {
            return false;
        }
        self.dialect = dialect;
        self.lessons.push(lesson);
        true
    }

    /// Keeps the lessons, because a request in the learned form has succeeded. Returns them.
    pub(crate) fn keep(self) -> Vec<Lesson> {
        let Self { dialects, model, dialect, lessons, .. } = self;
        if lessons.is_empty() {
            return lessons;
        }
        let mut models = dialects.lock();
        if let Some(known) = models.get_mut(model) {
            known.dialect = dialect;
            known.lessons.retain(|known| !lessons.contains(known));
            known.lessons.extend(&lessons);
        }
        lessons
    }
}

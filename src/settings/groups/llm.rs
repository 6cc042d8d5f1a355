//! Settings of the language model and of the requests to its server.

use std::time::Duration;

use secrecy::SecretString;
use strum::{EnumString, IntoStaticStr, VariantNames};
use url::Url;

use crate::settings::declaration::settings_group;
use crate::settings::kind::{Kind, Redaction, duration_up_to, integer, keyword, list};
use crate::settings::load::Purpose;
use crate::settings::reader::SettingsReader;
use crate::settings::redact;
use crate::settings::values::api_key;
use crate::settings::values::base_url::BaseUrl;
use crate::settings::values::dialect::{MaxTokensField, StreamOptions, SystemRole};

const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
/// The maximum length of a model's name. Names on Hugging Face have at most 96 characters behind the
/// organization's.
const MAX_MODEL_CHARS: usize = 200;

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

settings_group! {
    /// The language model and the requests to its server.
    pub struct LlmSettings {
        /// API key for the model server. Required if `LLM_BASE_URL` is OpenRouter; any other server
        /// receives it too if it is set. Prefer the environment to a file of settings for it.
        pub openrouter_api_key: Option<SecretString> = Setting {
            name: OPENROUTER_API_KEY,
            default: "",
            kind: Kind::new(
                "a key from https://openrouter.ai/keys: visible ASCII characters, without quotes or spaces",
                api_key::parse,
                api_key::redacted,
            )
            .with_redaction(Redaction::Secret)
            .optional(),
        },

        /// API key for a model server other than OpenRouter. It is sent to `LLM_BASE_URL`, whichever
        /// other server that is, and never to OpenRouter. Ignored, with a warning, if `LLM_BASE_URL`
        /// is OpenRouter or `OPENROUTER_API_KEY` is set.
        pub openai_api_key: Option<SecretString> = Setting {
            name: OPENAI_API_KEY,
            default: "",
            kind: Kind::new(
                "a key for the server at LLM_BASE_URL: visible ASCII characters, without quotes or spaces",
                api_key::parse,
                api_key::redacted,
            )
            .with_redaction(Redaction::Secret)
            .optional(),
        },

        /// Base URL of an OpenAI-compatible server, without `/chat/completions`. Proxies from the
        /// environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`) are used unless the server is on
        /// this machine.
        pub base_url: BaseUrl = Setting {
            name: LLM_BASE_URL,
            default: "https://openrouter.ai/api/v1",
            kind: Kind::new(
                "an http:// or https:// URL such as https://openrouter.ai/api/v1, without user, query or \
                 fragment",
                BaseUrl::parse,
                BaseUrl::to_string,
            )
            .with_redaction(Redaction::Url),
        },

        /// Model that answers, by its name on the model server.
        pub model: String = Setting {
            name: LLM_MODEL,
            default: "openai/gpt-4o-mini",
            kind: Kind::new(
                "a model's name of up to 200 printable characters, such as openai/gpt-4o-mini or \
                 Llama 3 8B Instruct",
                parse_model,
                String::clone,
            ),
        },

        /// Models to try, in this order, if the first one fails. OpenRouter receives them as
        /// `models` and tries them itself.
        pub fallback_models: Vec<String> = Setting {
            name: LLM_FALLBACK_MODELS,
            default: "",
            kind: list(
                "a list of models' names, separated by commas, each of up to 200 printable characters",
                parse_model,
            ),
        },

        /// Maximum time to connect to the model server.
        pub connect_timeout: Duration = Setting {
            name: LLM_CONNECT_TIMEOUT,
            default: "5s",
            kind: duration_up_to(FIVE_MINUTES),
        },

        /// Maximum time to the first word of an answer, including all retries.
        pub first_word_timeout: Duration = Setting {
            name: LLM_FIRST_WORD_TIMEOUT,
            default: "30s",
            kind: duration_up_to(HALF_AN_HOUR),
        },

        /// Maximum time between two words of an answer. Keep-alive comments do not count as words.
        pub idle_timeout: Duration = Setting {
            name: LLM_IDLE_TIMEOUT,
            default: "20s",
            kind: duration_up_to(HALF_AN_HOUR),
        },

        /// Maximum number of retries after transient failures. All attempts together must produce
        /// the first word within `LLM_FIRST_WORD_TIMEOUT`. Words shown before a retry are replaced.
        pub max_retries: u32 = Setting {
            name: LLM_MAX_RETRIES,
            default: "2",
            kind: integer(0..=10),
        },

        /// Field of a request that limits the length of an answer. `auto` sends `max_tokens`, and
        /// `max_completion_tokens` where the server refuses that.
        pub max_tokens_field: MaxTokensField = Setting {
            name: LLM_MAX_TOKENS_FIELD,
            default: "auto",
            kind: keyword(),
        },

        /// Whether requests ask for usage with `stream_options`. `auto` leaves it out where the
        /// server refuses it.
        pub stream_options: StreamOptions = Setting {
            name: LLM_STREAM_OPTIONS,
            default: "auto",
            kind: keyword(),
        },

        /// Role of the message with the instructions and the resume. `user` puts them before the
        /// first question. `auto` sends `system`, and another role where the server refuses that.
        pub system_role: SystemRole = Setting {
            name: LLM_SYSTEM_ROLE,
            default: "auto",
            kind: keyword(),
        },

        /// Site that OpenRouter shows as the source of the requests (`HTTP-Referer`). Empty for
        /// none.
        pub app_url: Option<String> = Setting {
            name: LLM_APP_URL,
            default: "",
            kind: Kind::new(
                "an http:// or https:// URL such as https://example.com",
                parse_app_url,
                String::clone,
            )
            .with_redaction(Redaction::Url)
            .optional(),
        },

        /// Name that OpenRouter shows as the source of the requests (`X-OpenRouter-Title`). Empty
        /// for none.
        pub app_title: Option<String> = Setting {
            name: LLM_APP_TITLE,
            default: "",
            kind: Kind::new("a name of visible ASCII characters and spaces", parse_app_title, String::clone)
                .optional(),
        },

        /// Reply to questions while the model server does not answer: `excerpts` quotes passages of
        /// the resume, labelled as such; `off` reports an error.
        pub degraded_mode: DegradedMode = Setting {
            name: DEGRADED_MODE,
            default: "excerpts",
            kind: keyword(),
        },

        /// Number of failed requests that opens the circuit breaker, which suspends requests to the
        /// model server, if at least three quarters of the newest requests failed. Failures that the
        /// question itself may cause, such as refused content, do not count, unless this many
        /// visitors in a row meet the same one.
        pub breaker_failures: u32 = Setting {
            name: LLM_BREAKER_FAILURES,
            default: "5",
            kind: integer(0..=1_000).with_note(" (0 disables the circuit breaker)"),
        },

        /// Time after which an open circuit breaker lets a trial request through. It doubles with
        /// each failed trial, up to 5 minutes.
        pub breaker_pause: Duration = Setting {
            name: LLM_BREAKER_PAUSE,
            default: "15s",
            kind: duration_up_to(FIVE_MINUTES),
        },

        /// Maximum number of answers that are generated at the same time.
        pub max_concurrency: usize = Setting {
            name: LLM_MAX_CONCURRENCY,
            default: "256",
            kind: integer(1..=10_000),
        },

        /// Maximum number of questions that wait while `LLM_MAX_CONCURRENCY` answers are generated.
        /// Further questions are rejected with `OVERLOADED`. Client addresses take turns.
        pub max_queue: usize = Setting {
            name: LLM_MAX_QUEUE,
            default: "1024",
            kind: integer(0..=100_000).with_note(" (0 disables the queue)"),
        },

        /// Maximum time in the queue. A question whose estimated wait exceeds it is rejected
        /// immediately.
        pub queue_timeout: Duration = Setting {
            name: LLM_QUEUE_TIMEOUT,
            default: "30s",
            kind: duration_up_to(HALF_AN_HOUR),
        },
    }
}

/// The reply to questions while the model server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum DegradedMode {
    /// Passages quoted from the resume.
    Excerpts,
    /// An error.
    Off,
}

impl LlmSettings {
    /// Returns the key that the server at `LLM_BASE_URL` receives.
    #[must_use]
    pub fn api_key(&self) -> Option<&SecretString> {
        self.openrouter_api_key.as_ref().or(self.openai_api_key.as_ref())
    }

    /// Removes `OPENAI_API_KEY` with a warning if it is not used, before it is read: many systems
    /// set it for other programs, so that an unusable one must not be an error.
    pub(in crate::settings) fn remove_unused_key(reader: &mut SettingsReader) {
        let is_openrouter = reader.peek(&Self::base_url()).is_some_and(|url| url.is_openrouter());
        let warning = if is_openrouter {
            "is ignored, because LLM_BASE_URL is OpenRouter: set OPENROUTER_API_KEY, or set LLM_BASE_URL to \
             the server of the key, such as https://api.openai.com/v1"
        } else if reader.has_value(OPENROUTER_API_KEY) {
            "is ignored, because LLM_BASE_URL receives OPENROUTER_API_KEY: unset OPENROUTER_API_KEY to use it"
        } else {
            return;
        };
        if reader.remove(OPENAI_API_KEY) {
            reader.warn(OPENAI_API_KEY, warning);
        }
    }

    pub(in crate::settings) fn check(&self, purpose: &Purpose, reader: &mut SettingsReader) {
        let needs_key = self.base_url.is_openrouter() && reader.is_valid(LLM_BASE_URL);
        if matches!(purpose, Purpose::Serve | Purpose::Ask) && needs_key && self.openrouter_api_key.is_none()
        {
            let problem = if reader.is_removed(OPENAI_API_KEY) {
                "is required by openrouter.ai, which does not receive OPENAI_API_KEY; to use that key, set \
                 LLM_BASE_URL to its server, such as https://api.openai.com/v1"
            } else {
                "is required by openrouter.ai"
            };
            reader.missing(OPENROUTER_API_KEY, problem);
        }
        if let Some(warning) = self.base_url.warning() {
            reader.warn(LLM_BASE_URL, &warning);
        }
    }
}

fn parse_model(text: &str) -> Result<String, String> {
    if text.chars().any(redact::is_unprintable) {
        return Err("contains characters that cannot be printed".to_owned());
    }
    if text.chars().count() > MAX_MODEL_CHARS {
        return Err(format!("has more than {MAX_MODEL_CHARS} characters"));
    }
    if text.starts_with("sk-") {
        return Err("looks like an API key, which belongs into OPENROUTER_API_KEY".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses the URL of the owner's site, which is sent in a header.
pub(in crate::settings) fn parse_app_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user, which would be sent to the model server".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Parses the name of the owner's site, which is sent in a header.
pub(in crate::settings) fn parse_app_title(text: &str) -> Result<String, String> {
    if text.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
        return Err("contains characters that are not allowed in a header".to_owned());
    }
    Ok(text.to_owned())
}

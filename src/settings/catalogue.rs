//! The table of settings: each one's name, what it accepts, and how its value is shown.
//!
//! Defaults and descriptions are in `config/default.toml`, in the same order.

use std::time::Duration;

use super::choices::{Choice, DegradedMode, LogFormat, SuspiciousContent, Tokenizer};
use super::sections::Settings;
use super::values::{api_key, dollars, duration, log_levels};

/// One setting.
pub(super) struct Setting {
    /// The name in the environment; the key in TOML is the same in lower case.
    pub(super) name: &'static str,
    /// What it accepts.
    pub(super) form: Form,
    /// Its value in effect, for people to read.
    pub(super) effective: fn(&Settings) -> String,
}

/// What a setting accepts.
pub(super) enum Form {
    /// A whole number within bounds, with a remark about special values.
    Whole(u64, u64, &'static str),
    /// A duration within bounds.
    Duration(Duration, Duration),
    /// An amount of US dollars, or nothing.
    Dollars,
    /// `true` or `false`.
    Flag,
    /// One word out of a few, from [`Choice::accepted`].
    OneOf(fn() -> String),
    /// Any text that passes the checks described here.
    Text(&'static str),
    /// A list of texts that pass the checks described here.
    List(&'static str),
    /// A URL, of which a fault shows no user, password or options.
    Url(&'static str),
    /// A text that is never shown.
    Secret(&'static str),
}

impl Form {
    /// What is accepted, for a fault.
    pub(super) fn accepted(&self) -> String {
        match *self {
            Self::Whole(least, most, remark) => {
                format!("a whole number from {least} to {most}{remark}")
            }
            Self::Duration(least, most) => format!(
                "a duration from {} to {}, such as 500ms, 30s, 5m or 24h (a bare number is seconds)",
                duration::written(least),
                duration::written(most),
            ),
            Self::Dollars => format!(
                "US dollars such as 5 or 0.15, up to {}, with at most nine decimal places",
                dollars::written(dollars::MOST)
            ),
            Self::Flag => "true or false (also yes/no, on/off, 1/0)".to_owned(),
            Self::OneOf(accepted) => accepted(),
            Self::Text(accepted) | Self::List(accepted) | Self::Url(accepted) | Self::Secret(accepted) => {
                accepted.to_owned()
            }
        }
    }
}

/// The shortest duration: zero would mean "never" to one reader and "at once" to another.
const INSTANT: Duration = Duration::from_millis(1);
const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
const HALF_HOUR: Duration = Duration::from_secs(30 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Defines a static of each setting's own name, and the list of them all.
macro_rules! catalogue {
    ($($name:ident: $form:expr, $effective:expr;)+) => {
        $(pub(super) static $name: Setting = Setting {
            name: stringify!($name),
            form: $form,
            effective: $effective,
        };)+

        /// Every setting, in the order of `config/default.toml`.
        pub(super) static ALL: &[&Setting] = &[$(&$name),+];
    };
}

catalogue! {
    HOST: Form::Text("an IP address such as 127.0.0.1, 0.0.0.0 or ::, or localhost"),
        |all| all.http.host.to_string();
    PORT: Form::Whole(0, 65_535, " (0 takes any free port)"), |all| all.http.port.to_string();
    OPERATOR_ADDRESS: Form::Text("an IP address and a port such as 127.0.0.1:9090 or [::1]:9090, or off"),
        |all| all.http.operator.map_or_else(|| "off".to_owned(), |address| address.to_string());
    ALLOWED_ORIGINS: Form::List(
        "a list of exact origins, each scheme://host or scheme://host:port, such as https://example.com"),
        |all| all.http.allowed_origins.join(", ");
    ALLOW_MISSING_ORIGIN: Form::Flag, |all| all.http.allow_missing_origin.to_string();
    MAX_CONNECTIONS: Form::Whole(1, 1_000_000, ""), |all| all.http.max_connections.to_string();
    MAX_CONNECTIONS_PER_ADDRESS: Form::Whole(1, 1_000_000, ""),
        |all| all.http.max_connections_per_address.to_string();
    TRUSTED_PROXIES: Form::List("a list of addresses or networks (10.0.0.1, 10.0.0.0/8, fd00::/8)"),
        |all| all.http.trusted_proxies.join(", ");

    DATABASE_URL: Form::Url(
        "sqlite://file.db, sqlite:///folder/file.db, postgres://user:password@host/name or \
         postgresql://… (also sqlite+aiosqlite://, postgresql+asyncpg://, postgresql+psycopg://)"),
        |all| all.database.url.masked();
    DATABASE_POOL_SIZE: Form::Whole(1, 100, ""), |all| all.database.pool_size.to_string();

    RESUME_PATH: Form::Text("the path of a readable, non-empty md, txt, json, pdf or docx file"),
        |all| all.resume.as_ref().map_or_else(String::new, |resume| resume.path.display().to_string());

    OPENROUTER_API_KEY: Form::Secret(
        "a key from https://openrouter.ai/keys: visible ASCII characters, without quotes or spaces"),
        |all| all.llm.api_key.as_ref().map_or_else(String::new, api_key::masked);
    LLM_BASE_URL: Form::Url(
        "an http:// or https:// URL such as https://openrouter.ai/api/v1, without user, query or fragment"),
        |all| all.llm.base_url.clone();
    LLM_MODEL: Form::Text("a model's name without spaces, such as openai/gpt-4o-mini"),
        |all| all.llm.model.clone();
    LLM_FALLBACK_MODELS: Form::List("a list of models' names, each without spaces"),
        |all| all.llm.fallback_models.join(", ");
    LLM_CONNECT_TIMEOUT: Form::Duration(INSTANT, FIVE_MINUTES),
        |all| duration::written(all.llm.connect_timeout);
    LLM_FIRST_WORD_TIMEOUT: Form::Duration(INSTANT, HALF_HOUR),
        |all| duration::written(all.llm.first_word_timeout);
    LLM_IDLE_TIMEOUT: Form::Duration(INSTANT, HALF_HOUR),
        |all| duration::written(all.llm.idle_timeout);
    LLM_MAX_RETRIES: Form::Whole(0, 10, ""), |all| all.llm.max_retries.to_string();
    LLM_APP_URL: Form::Url("an http:// or https:// URL such as https://example.com"),
        |all| all.llm.app_url.clone().unwrap_or_default();
    LLM_APP_TITLE: Form::Text("a name of visible ASCII characters and spaces"),
        |all| all.llm.app_title.clone().unwrap_or_default();
    DEGRADED_MODE: Form::OneOf(DegradedMode::accepted), |all| all.llm.degraded_mode.word().to_owned();
    LLM_BREAKER_FAILURES: Form::Whole(0, 1_000, " (0: the server is always asked)"),
        |all| all.llm.breaker_failures.to_string();
    LLM_BREAKER_PAUSE: Form::Duration(INSTANT, FIVE_MINUTES),
        |all| duration::written(all.llm.breaker_pause);
    LLM_MAX_CONCURRENCY: Form::Whole(1, 10_000, ""), |all| all.llm.max_concurrency.to_string();
    LLM_MAX_QUEUE: Form::Whole(0, 100_000, ""), |all| all.llm.max_queue.to_string();
    LLM_QUEUE_TIMEOUT: Form::Duration(INSTANT, HALF_HOUR), |all| duration::written(all.llm.queue_timeout);

    MAX_CONTEXT_TOKENS: Form::Whole(512, 2_000_000, ""), |all| all.tokens.max_context.to_string();
    MAX_RESPONSE_TOKENS: Form::Whole(16, 2_000_000, ", at least 256 below MAX_CONTEXT_TOKENS"),
        |all| all.tokens.max_response.to_string();
    TOKENIZER: Form::OneOf(Tokenizer::accepted), |all| all.tokens.tokenizer.word().to_owned();
    DAILY_TOKEN_LIMIT: Form::Whole(1, 1_000_000_000_000, ", at least MAX_CONTEXT_TOKENS; empty for none"),
        |all| all.budget.daily_tokens.map_or_else(String::new, |it| it.to_string());
    DAILY_COST_LIMIT: Form::Dollars,
        |all| all.budget.daily_nanodollars.map_or_else(String::new, dollars::written);
    DAILY_TOKEN_LIMIT_PER_ADDRESS: Form::Whole(1, 1_000_000_000_000, ", at least MAX_CONTEXT_TOKENS; empty for none"),
        |all| all.budget.address_tokens.map_or_else(String::new, |it| it.to_string());
    DAILY_COST_LIMIT_PER_ADDRESS: Form::Dollars,
        |all| all.budget.address_nanodollars.map_or_else(String::new, dollars::written);
    SESSION_TOKEN_LIMIT: Form::Whole(1, 1_000_000_000_000, ", at least MAX_CONTEXT_TOKENS; empty for none"),
        |all| all.budget.session_tokens.map_or_else(String::new, |it| it.to_string());
    SESSION_COST_LIMIT: Form::Dollars,
        |all| all.budget.session_nanodollars.map_or_else(String::new, dollars::written);
    LLM_PRICE_PROMPT: Form::Dollars,
        |all| all.budget.prompt_price.map_or_else(String::new, dollars::written);
    LLM_PRICE_COMPLETION: Form::Dollars,
        |all| all.budget.completion_price.map_or_else(String::new, dollars::written);
    RATE_LIMIT_REQUESTS_PER_MINUTE: Form::Whole(1, 600, ""),
        |all| all.limits.requests_per_minute.to_string();
    QUESTIONS_PER_MINUTE_PER_ADDRESS: Form::Whole(1, 1_000_000, ""),
        |all| all.limits.questions_per_minute_per_address.to_string();
    SESSIONS_PER_HOUR_PER_ADDRESS: Form::Whole(1, 1_000_000, ""),
        |all| all.limits.sessions_per_hour_per_address.to_string();
    SUSPICIOUS_CONTENT: Form::OneOf(SuspiciousContent::accepted),
        |all| all.limits.suspicious_content.word().to_owned();

    SESSION_TTL: Form::Duration(INSTANT, MONTH), |all| duration::written(all.session.ttl);
    RECONNECT_GRACE: Form::Duration(INSTANT, MONTH),
        |all| duration::written(all.session.reconnect_grace);
    IDLE_TIMEOUT: Form::Duration(INSTANT, MONTH), |all| duration::written(all.session.idle_timeout);
    SLOW_READER_TIMEOUT: Form::Duration(INSTANT, MONTH),
        |all| duration::written(all.session.slow_reader_timeout);
    HEARTBEAT_INTERVAL: Form::Duration(INSTANT, MONTH),
        |all| duration::written(all.session.heartbeat_interval);
    FIRST_FRAME_TIMEOUT: Form::Duration(INSTANT, MONTH),
        |all| duration::written(all.session.first_frame_timeout);
    MESSAGE_TIMEOUT: Form::Duration(INSTANT, MONTH),
        |all| duration::written(all.session.message_timeout);

    SHUTDOWN_TIMEOUT: Form::Duration(INSTANT, HOUR), |all| duration::written(all.shutdown_timeout);
    LOG_LEVEL: Form::Text(log_levels::ACCEPTED),
        |all| log_levels::written(all.log.level, &all.log.modules);
    LOG_FORMAT: Form::OneOf(LogFormat::accepted), |all| all.log.format.word().to_owned();
}

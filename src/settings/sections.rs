//! The validated settings, one struct per concern.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::catalogue;
use super::choices::{DegradedMode, LogFormat, LogLevel, SuspiciousContent, Tokenizer};
use super::values::database_url::DatabaseUrl;

/// Everything an owner can set, validated. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may connect, and where.
    pub http: HttpSettings,
    /// Where conversations are kept.
    pub database: DatabaseSettings,
    /// The resume to talk about; `None` unless loaded for [`Purpose::Serve`](super::Purpose::Serve).
    pub resume: Option<ResumeSettings>,
    /// The language model and the patience with it.
    pub llm: LlmSettings,
    /// How many tokens an exchange may take.
    pub tokens: TokenSettings,
    /// What may be spent.
    pub budget: BudgetSettings,
    /// How often visitors may ask.
    pub limits: LimitSettings,
    /// The times in the life of a session.
    pub session: SessionSettings,
    /// `SHUTDOWN_TIMEOUT`: the longest time answers get to finish once the server is told to stop.
    pub shutdown_timeout: Duration,
    /// What is logged, and how it looks.
    pub log: LogSettings,
}

impl Settings {
    /// Every setting's name (as in the environment) and the value in effect, in the order of
    /// `config/default.toml`, for people to read.
    ///
    /// An unset setting has an empty value. The API key and the user, password and options of a
    /// database URL are masked; every other value is written as it could be given again.
    #[must_use]
    pub fn effective(&self) -> Vec<(&'static str, String)> {
        catalogue::ALL.iter().map(|setting| (setting.name, (setting.effective)(self))).collect()
    }
}

/// Who may connect, and where.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// `HOST`: the address to listen on.
    pub host: IpAddr,
    /// `PORT`: the TCP port to listen on; 0 for any free one.
    pub port: u16,
    /// `OPERATOR_ADDRESS`: where metrics are served; `None` for nowhere.
    pub operator: Option<SocketAddr>,
    /// `ALLOWED_ORIGINS`: origins as browsers send them (`scheme://host[:port]`, lower case, no
    /// slash at the end, no default port); empty for the server's own origin only.
    pub allowed_origins: Vec<String>,
    /// `ALLOW_MISSING_ORIGIN`: whether a client without an `Origin` header may connect.
    pub allow_missing_origin: bool,
    /// `MAX_CONNECTIONS`: the most WebSocket connections open at one time, 1 to 1,000,000.
    pub max_connections: u32,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: the most of them from one client address, 1 to 1,000,000.
    pub max_connections_per_address: u32,
    /// `TRUSTED_PROXIES`: addresses and networks whose `X-Forwarded-For` is believed; none by default.
    pub trusted_proxies: Vec<String>,
}

/// Where conversations are kept.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`: which database.
    pub url: DatabaseUrl,
    /// `DATABASE_POOL_SIZE`: the most connections held open, 1 to 100.
    pub pool_size: u32,
}

/// The resume to talk about.
#[derive(Debug, Clone)]
pub struct ResumeSettings {
    /// `RESUME_PATH`: a readable, non-empty, regular file when it was checked at start-up.
    pub path: PathBuf,
}

/// The language model and the patience with it.
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// `OPENROUTER_API_KEY`: visible ASCII, fit for a header. Always present when serving with
    /// OpenRouter; never read for a demo or a migration.
    pub api_key: Option<SecretString>,
    /// `LLM_BASE_URL`: an `http` or `https` URL without user, query, or slash at the end.
    pub base_url: String,
    /// `LLM_MODEL`: the model that answers.
    pub model: String,
    /// `LLM_FALLBACK_MODELS`: the models to try after it, in order.
    pub fallback_models: Vec<String>,
    /// `LLM_CONNECT_TIMEOUT`: the longest wait for a connection.
    pub connect_timeout: Duration,
    /// `LLM_FIRST_WORD_TIMEOUT`: the longest wait for the first word of an answer.
    pub first_word_timeout: Duration,
    /// `LLM_IDLE_TIMEOUT`: the longest silence in the middle of an answer.
    pub idle_timeout: Duration,
    /// Whether `base_url` is OpenRouter, which takes more than the common API.
    pub openrouter: bool,
    /// `LLM_MAX_RETRIES`: times that an answer is asked for again, 0 to 10.
    pub max_retries: u32,
    /// `LLM_APP_URL`: where the requests come from, as OpenRouter shows it; fit for a header.
    pub app_url: Option<String>,
    /// `LLM_APP_TITLE`: what it is called there; fit for a header.
    pub app_title: Option<String>,
    /// `DEGRADED_MODE`: what visitors get while the model does not answer.
    pub degraded_mode: DegradedMode,
    /// `LLM_BREAKER_FAILURES`: failed requests in a row after which the server is not asked for a while, 0 (never)
    /// to 1,000.
    pub breaker_failures: u32,
    /// `LLM_BREAKER_PAUSE`: how long it is not asked at first.
    pub breaker_pause: Duration,
    /// `LLM_MAX_CONCURRENCY`: the most answers being written at one time, 1 to 10,000.
    pub max_concurrency: usize,
    /// `LLM_MAX_QUEUE`: the most questions waiting for their turn, 0 to 100,000.
    pub max_queue: usize,
    /// `LLM_QUEUE_TIMEOUT`: the longest wait for a turn.
    pub queue_timeout: Duration,
}

/// How many tokens an exchange may take.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// `MAX_CONTEXT_TOKENS`: the most tokens of prompt and answer together, 512 to 2,000,000.
    pub max_context: u32,
    /// `MAX_RESPONSE_TOKENS`: the most tokens of one answer, at least 16 and at least 256 fewer
    /// than `max_context`.
    pub max_response: u32,
    /// `TOKENIZER`: how tokens are counted when the model's own way is not known.
    pub tokenizer: Tokenizer,
}

/// What may be spent; `None` is no limit, or an unknown price.
#[derive(Debug, Clone, Copy)]
pub struct BudgetSettings {
    /// `DAILY_TOKEN_LIMIT`: the most tokens of prompts and answers in a day of UTC, at least one exchange.
    pub daily_tokens: Option<u64>,
    /// `DAILY_COST_LIMIT`: the most that answers may cost in a day of UTC, in billionths of a US dollar.
    pub daily_nanodollars: Option<u64>,
    /// `DAILY_TOKEN_LIMIT_PER_ADDRESS`: the same as `daily_tokens` for one client address.
    pub address_tokens: Option<u64>,
    /// `DAILY_COST_LIMIT_PER_ADDRESS`: the same as `daily_nanodollars` for one client address.
    pub address_nanodollars: Option<u64>,
    /// `SESSION_TOKEN_LIMIT`: the most tokens of prompts and answers of one session, at least one exchange.
    pub session_tokens: Option<u64>,
    /// `SESSION_COST_LIMIT`: the most that the answers of one session may cost, in billionths of a US dollar.
    pub session_nanodollars: Option<u64>,
    /// `LLM_PRICE_PROMPT`: the most paid for a million tokens of prompts, in billionths of a US dollar.
    pub prompt_price: Option<u64>,
    /// `LLM_PRICE_COMPLETION`: the same for tokens of answers.
    pub completion_price: Option<u64>,
}

/// How often visitors may ask.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// `RATE_LIMIT_REQUESTS_PER_MINUTE`: the most questions of one session in any minute, 1 to 600.
    pub requests_per_minute: u32,
    /// `QUESTIONS_PER_MINUTE_PER_ADDRESS`: the most questions of one client address in any minute, 1 to 1,000,000.
    pub questions_per_minute_per_address: u32,
    /// `SESSIONS_PER_HOUR_PER_ADDRESS`: the most new sessions of one client address in any hour, 1 to 1,000,000.
    pub sessions_per_hour_per_address: u32,
    /// `SUSPICIOUS_CONTENT`: what is done about attempts to take over the model.
    pub suspicious_content: SuspiciousContent,
}

/// The times in the life of a session, each above zero and at most 30 days.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// `SESSION_TTL`: how long after its last use a session can be resumed.
    pub ttl: Duration,
    /// `RECONNECT_GRACE`: how long an answer goes on for a lost visitor; at most `ttl`.
    pub reconnect_grace: Duration,
    /// `IDLE_TIMEOUT`: how long a visitor may say nothing.
    pub idle_timeout: Duration,
    /// `SLOW_READER_TIMEOUT`: how long a client may leave sent data unread.
    pub slow_reader_timeout: Duration,
    /// `HEARTBEAT_INTERVAL`: the time between pings; shorter than `idle_timeout`.
    pub heartbeat_interval: Duration,
    /// `FIRST_FRAME_TIMEOUT`: how long a client may take to say anything at all after the handshake.
    pub first_frame_timeout: Duration,
    /// `MESSAGE_TIMEOUT`: how long a client's message may take from its first byte to its last.
    pub message_timeout: Duration,
}

/// What is logged, and how it looks.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `LOG_LEVEL`: the least severe lines written.
    pub level: LogLevel,
    /// `LOG_LEVEL`: the same for some modules, by their paths, and for what is in them.
    pub modules: Vec<(String, LogLevel)>,
    /// `LOG_FORMAT`: how they look.
    pub format: LogFormat,
}

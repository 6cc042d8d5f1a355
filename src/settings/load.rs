//! Reads every setting for a purpose, and checks how they go together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::catalogue::{self as name, Setting};
use super::error::SettingsError;
use super::reader::Reader;
use super::sections::{
    BudgetSettings, DatabaseSettings, HttpSettings, LimitSettings, LlmSettings, LogSettings, ResumeSettings,
    SessionSettings, Settings, TokenSettings,
};
use super::sources;
use super::values::database_url::DatabaseUrl;
use super::values::log_levels::{self, LogLevels};
use super::values::{address, api_key, base_url, dollars, resume_path, web_origin};
use crate::limits::TrustedProxies;
use crate::spending::Prices;

/// The tokens that must remain beside the longest answer for the resume and the question.
const LEAST_PROMPT_TOKENS: u32 = 256;

/// What the settings are loaded for, which decides which of them are read.
///
/// A setting that is not read keeps its default whatever was given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To serve, or to check that it could: all of them.
    Serve,
    /// To serve the demo: all but `RESUME_PATH`, `OPENROUTER_API_KEY` and `DATABASE_URL`.
    Demo {
        /// The SQLite file the demo keeps its conversations in, which is not the owner's.
        database: PathBuf,
    },
    /// To migrate the database: only the settings of the database and of the log.
    Migrate,
    /// To read or delete what is stored: only the settings of the database.
    Report,
    /// To ask the running server something: only where it listens.
    Probe,
}

/// Valid settings, and what was odd about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What may work but is probably not meant, as sentences to log once; without secrets.
    pub warnings: Vec<String>,
}

/// The environment of this process. Nothing else reads it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that the lint sends others to")]
pub fn process_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

impl Settings {
    /// Reads the defaults, then `config_file`, then `environment` (of which the last wins).
    ///
    /// # Errors
    ///
    /// Every fault in any layer at once: unknown keys in the file, values that are not understood
    /// or out of bounds, settings that are missing or do not go together, files that are not there.
    pub fn load(
        purpose: &Purpose,
        config_file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, SettingsError> {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let mut values = sources::defaults(&mut faults);
        let given = [
            config_file.map(|path| sources::from_file(path, &mut faults)),
            Some(sources::from_environment(environment, &mut warnings)),
        ];
        for mut layer in given.into_iter().flatten() {
            layer.retain(|name, _| purpose.reads(name));
            values.append(&mut layer);
        }
        let mut reader = Reader::new(values, faults, warnings);
        let settings = all(purpose, &mut reader);
        let (faults, warnings) = reader.finish();
        match settings {
            Some(settings) if faults.is_empty() => Ok(Loaded { settings, warnings }),
            _ => Err(SettingsError { faults }),
        }
    }
}

impl Purpose {
    fn reads(&self, setting: &str) -> bool {
        let is_one_of = |some: &[&Setting]| some.iter().any(|one| one.name == setting);
        match self {
            Self::Serve => true,
            Self::Demo { .. } => {
                !is_one_of(&[&name::DATABASE_URL, &name::RESUME_PATH, &name::OPENROUTER_API_KEY])
            }
            Self::Migrate => is_one_of(&[
                &name::DATABASE_URL,
                &name::DATABASE_POOL_SIZE,
                &name::LOG_LEVEL,
                &name::LOG_FORMAT,
            ]),
            Self::Report => is_one_of(&[&name::DATABASE_URL, &name::DATABASE_POOL_SIZE]),
            Self::Probe => is_one_of(&[&name::HOST, &name::PORT]),
        }
    }
}

// Each function reads all of its settings before the first `?`, so that no fault hides another.

fn all(purpose: &Purpose, from: &mut Reader) -> Option<Settings> {
    let http = http(from);
    let database = database(purpose, from);
    let resume = (*purpose == Purpose::Serve).then(|| from.required(&name::RESUME_PATH, resume_path::parse));
    let llm = llm(purpose, from);
    let tokens = tokens(from);
    let budget = budget(from, tokens.as_ref());
    let requests_per_minute = from.whole(&name::RATE_LIMIT_REQUESTS_PER_MINUTE);
    let questions_per_minute_per_address = from.whole(&name::QUESTIONS_PER_MINUTE_PER_ADDRESS);
    let sessions_per_hour_per_address = from.whole(&name::SESSIONS_PER_HOUR_PER_ADDRESS);
    let suspicious_content = from.choice(&name::SUSPICIOUS_CONTENT);
    let session = session(from);
    let shutdown_timeout = from.duration(&name::SHUTDOWN_TIMEOUT);
    let levels = from.required(&name::LOG_LEVEL, log_levels::parse);
    let format = from.choice(&name::LOG_FORMAT);
    Some(Settings {
        http: http?,
        database: database?,
        resume: match resume {
            Some(path) => Some(ResumeSettings { path: path? }),
            None => None,
        },
        llm: llm?,
        tokens: tokens?,
        budget: budget?,
        limits: LimitSettings {
            requests_per_minute: requests_per_minute?,
            questions_per_minute_per_address: questions_per_minute_per_address?,
            sessions_per_hour_per_address: sessions_per_hour_per_address?,
            suspicious_content: suspicious_content?,
        },
        session: session?,
        shutdown_timeout: shutdown_timeout?,
        log: {
            let LogLevels { level, modules } = levels?;
            LogSettings { level, modules, format: format? }
        },
    })
}

fn http(from: &mut Reader) -> Option<HttpSettings> {
    let host = from.required(&name::HOST, address::parse);
    let port = from.whole(&name::PORT);
    let operator = from.required(&name::OPERATOR_ADDRESS, address::parse_operator);
    if let Some(Some(address)) = operator.filter(|it| it.is_some_and(|it| !it.ip().is_loopback())) {
        from.warn(format!(
            "{} {address} can be reached from other machines, and asks nobody for a password",
            name::OPERATOR_ADDRESS.name
        ));
    }
    let allowed_origins = from.list(&name::ALLOWED_ORIGINS, web_origin::parse);
    let allow_missing_origin = from.flag(&name::ALLOW_MISSING_ORIGIN);
    let max_connections = from.whole(&name::MAX_CONNECTIONS);
    let max_connections_per_address = from.whole(&name::MAX_CONNECTIONS_PER_ADDRESS);
    let trusted_proxies = from.list(&name::TRUSTED_PROXIES, |entry| {
        TrustedProxies::parse([entry]).map(|_| entry.to_owned()).map_err(|invalid| invalid.to_string())
    });
    Some(HttpSettings {
        host: host?,
        port: port?,
        operator: operator?,
        allowed_origins: allowed_origins?,
        allow_missing_origin: allow_missing_origin?,
        max_connections: max_connections?,
        max_connections_per_address: max_connections_per_address?,
        trusted_proxies: trusted_proxies?,
    })
}

fn database(purpose: &Purpose, from: &mut Reader) -> Option<DatabaseSettings> {
    let url = match purpose {
        Purpose::Demo { database } => Some(DatabaseUrl::Sqlite { path: database.clone() }),
        _ => from.required(&name::DATABASE_URL, DatabaseUrl::parse),
    };
    if let Some(warning) = url.as_ref().and_then(DatabaseUrl::warning) {
        from.warn(format!("{} {warning}", name::DATABASE_URL.name));
    }
    let pool_size = from.whole(&name::DATABASE_POOL_SIZE);
    Some(DatabaseSettings { url: url?, pool_size: pool_size? })
}

fn llm(purpose: &Purpose, from: &mut Reader) -> Option<LlmSettings> {
    let api_key = from.optional(&name::OPENROUTER_API_KEY, api_key::parse);
    let base_url = from.required(&name::LLM_BASE_URL, base_url::parse);
    let openrouter = base_url.as_ref().is_some_and(base_url::is_openrouter);
    if *purpose == Purpose::Serve && matches!(api_key, Some(None)) && openrouter {
        from.missing::<()>(&name::OPENROUTER_API_KEY, "is required by openrouter.ai");
    }
    if let Some(warning) = base_url.as_ref().and_then(base_url::warning) {
        from.warn(format!("{} {warning}", name::LLM_BASE_URL.name));
    }
    let model = from.required(&name::LLM_MODEL, base_url::model);
    let fallback_models = from.list(&name::LLM_FALLBACK_MODELS, base_url::model);
    let connect_timeout = from.duration(&name::LLM_CONNECT_TIMEOUT);
    let first_word_timeout = from.duration(&name::LLM_FIRST_WORD_TIMEOUT);
    let idle_timeout = from.duration(&name::LLM_IDLE_TIMEOUT);
    let max_retries = from.whole(&name::LLM_MAX_RETRIES);
    let app_url = from.optional(&name::LLM_APP_URL, base_url::site);
    let app_title = from.optional(&name::LLM_APP_TITLE, base_url::title);
    let degraded_mode = from.choice(&name::DEGRADED_MODE);
    let breaker_failures = from.whole(&name::LLM_BREAKER_FAILURES);
    let breaker_pause = from.duration(&name::LLM_BREAKER_PAUSE);
    let max_concurrency = from.whole(&name::LLM_MAX_CONCURRENCY);
    let max_queue = from.whole(&name::LLM_MAX_QUEUE);
    let queue_timeout = from.duration(&name::LLM_QUEUE_TIMEOUT);
    Some(LlmSettings {
        api_key: api_key?,
        base_url: base_url.as_ref().map(base_url::written)?,
        openrouter,
        model: model?,
        fallback_models: fallback_models?,
        connect_timeout: connect_timeout?,
        first_word_timeout: first_word_timeout?,
        idle_timeout: idle_timeout?,
        max_retries: max_retries?,
        app_url: app_url?,
        app_title: app_title?,
        degraded_mode: degraded_mode?,
        breaker_failures: breaker_failures?,
        breaker_pause: breaker_pause?,
        max_concurrency: max_concurrency?,
        max_queue: max_queue?,
        queue_timeout: queue_timeout?,
    })
}

fn tokens(from: &mut Reader) -> Option<TokenSettings> {
    let max_context: Option<u32> = from.whole(&name::MAX_CONTEXT_TOKENS);
    let max_response: Option<u32> = from.whole(&name::MAX_RESPONSE_TOKENS);
    if let (Some(context), Some(response)) = (max_context, max_response)
        && response.saturating_add(LEAST_PROMPT_TOKENS) > context
    {
        from.conflict(&name::MAX_RESPONSE_TOKENS, &name::MAX_CONTEXT_TOKENS, |beside| {
            format!(
                "does not go with {beside}: an answer of {response} tokens in a context of \
                 {context} leaves fewer than {LEAST_PROMPT_TOKENS} for the resume and the question"
            )
        });
    }
    let tokenizer = from.choice(&name::TOKENIZER);
    Some(TokenSettings { max_context: max_context?, max_response: max_response?, tokenizer: tokenizer? })
}

/// One exchange must be possible within every limit, or the first question would be refused like the last.
fn budget(from: &mut Reader, tokens: Option<&TokenSettings>) -> Option<BudgetSettings> {
    let prompt_price = from.optional(&name::LLM_PRICE_PROMPT, dollars::parse);
    let completion_price = from.optional(&name::LLM_PRICE_COMPLETION, dollars::parse);
    let prices = prompt_price.zip(completion_price);
    let daily_tokens = token_limit(from, &name::DAILY_TOKEN_LIMIT, tokens);
    let daily_nanodollars = cost_limit(from, &name::DAILY_COST_LIMIT, tokens, prices);
    let address_tokens = token_limit(from, &name::DAILY_TOKEN_LIMIT_PER_ADDRESS, tokens);
    let address_nanodollars = cost_limit(from, &name::DAILY_COST_LIMIT_PER_ADDRESS, tokens, prices);
    let session_tokens = token_limit(from, &name::SESSION_TOKEN_LIMIT, tokens);
    let session_nanodollars = cost_limit(from, &name::SESSION_COST_LIMIT, tokens, prices);
    Some(BudgetSettings {
        daily_tokens: daily_tokens?,
        daily_nanodollars: daily_nanodollars?,
        address_tokens: address_tokens?,
        address_nanodollars: address_nanodollars?,
        session_tokens: session_tokens?,
        session_nanodollars: session_nanodollars?,
        prompt_price: prompt_price?,
        completion_price: completion_price?,
    })
}

fn token_limit(from: &mut Reader, limit: &Setting, tokens: Option<&TokenSettings>) -> Option<Option<u64>> {
    let most = from.optional_whole(limit);
    if let (Some(Some(most)), Some(tokens)) = (most, tokens)
        && most < u64::from(tokens.max_context)
    {
        from.conflict(limit, &name::MAX_CONTEXT_TOKENS, |beside| {
            format!("does not go with {beside}: it must have room for one exchange")
        });
    }
    most
}

fn cost_limit(
    from: &mut Reader,
    limit: &Setting,
    tokens: Option<&TokenSettings>,
    prices: Option<(Option<u64>, Option<u64>)>,
) -> Option<Option<u64>> {
    let cost = from.optional(limit, dollars::parse);
    if let (Some(Some(most)), Some((prompt, completion))) = (cost, prices) {
        let needed = format!("is required by {}: without a price nothing can be set aside", limit.name);
        if prompt.is_none() {
            from.missing::<()>(&name::LLM_PRICE_PROMPT, &needed);
        }
        if completion.is_none() {
            from.missing::<()>(&name::LLM_PRICE_COMPLETION, &needed);
        }
        let prices = Prices { prompt: prompt.unwrap_or(0), completion: completion.unwrap_or(0) };
        let one =
            tokens.map(|it| prices.cost(it.max_context.saturating_sub(it.max_response), it.max_response));
        if let Some(one) = one.filter(|one| *one > most) {
            let one = dollars::written(one);
            from.conflict(limit, &name::LLM_PRICE_COMPLETION, |_| {
                format!(
                    "is less than one exchange may cost, {one} dollars by the prices and MAX_CONTEXT_TOKENS"
                )
            });
        }
    }
    cost
}

fn session(from: &mut Reader) -> Option<SessionSettings> {
    let ttl = from.duration(&name::SESSION_TTL);
    let reconnect_grace = from.duration(&name::RECONNECT_GRACE);
    let idle_timeout = from.duration(&name::IDLE_TIMEOUT);
    let slow_reader_timeout = from.duration(&name::SLOW_READER_TIMEOUT);
    let heartbeat_interval = from.duration(&name::HEARTBEAT_INTERVAL);
    let first_frame_timeout = from.duration(&name::FIRST_FRAME_TIMEOUT);
    let message_timeout = from.duration(&name::MESSAGE_TIMEOUT);
    if let (Some(grace), Some(ttl)) = (reconnect_grace, ttl)
        && grace > ttl
    {
        from.conflict(&name::RECONNECT_GRACE, &name::SESSION_TTL, |beside| {
            format!("does not go with {beside}: the grace of a lost visitor outlives the session")
        });
    }
    if let (Some(heartbeat), Some(idle)) = (heartbeat_interval, idle_timeout)
        && heartbeat >= idle
    {
        from.conflict(&name::HEARTBEAT_INTERVAL, &name::IDLE_TIMEOUT, |beside| {
            format!("does not go with {beside}: the connection is closed before the first heartbeat")
        });
    }
    Some(SessionSettings {
        ttl: ttl?,
        reconnect_grace: reconnect_grace?,
        idle_timeout: idle_timeout?,
        slow_reader_timeout: slow_reader_timeout?,
        heartbeat_interval: heartbeat_interval?,
        first_frame_timeout: first_frame_timeout?,
        message_timeout: message_timeout?,
    })
}

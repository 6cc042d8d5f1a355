//! The log: one asynchronous drain to standard error, as JSON or for people.

use std::io::IsTerminal;

use slog::{Drain, FnValue, Level, LevelFilter, Logger, PushFnValue, Record, o};

use crate::settings::{LogFormat, LogLevel, LogSettings};

/// Lines that may wait to be written. More are dropped and counted in the log itself.
const QUEUE_LINES: usize = 8192;

/// Keeps the log alive; what waits is written when it is dropped.
pub struct Logging {
    /// The root of all loggers.
    pub root: Logger,
    _scope: Option<slog_scope::GlobalLoggerGuard>,
    _drain: slog_async::AsyncGuard,
}

/// Starts the log. Lines of libraries (`log`, `tracing`) come into it at warn and above.
#[must_use]
pub fn start(settings: &LogSettings) -> Logging {
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let level = match settings.level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
    };
    let (drain, guard) = if human {
        let decorator = slog_term::TermDecorator::new().stderr().build();
        queue(slog_term::FullFormat::new(decorator).use_utc_timestamp().build().ignore_res())
    } else {
        queue(json().ignore_res())
    };
    let root = Logger::root(LevelFilter::new(drain, level).ignore_res(), o!());
    let scope = slog_scope::set_global_logger(root.new(o!("from" => "library")));
    // Another logger was installed only if this is not the first start in the process, as in tests.
    let installed = slog_stdlog::init_with_level(log::Level::Warn).is_ok();
    Logging { root, _scope: installed.then_some(scope), _drain: guard }
}

fn queue<D>(drain: D) -> (slog::Fuse<slog_async::Async>, slog_async::AsyncGuard)
where
    D: Drain<Ok = (), Err = slog::Never> + Send + 'static,
{
    let (queue, guard) = slog_async::Async::new(drain)
        .chan_size(QUEUE_LINES)
        .overflow_strategy(slog_async::OverflowStrategy::DropAndReport)
        .build_with_guard();
    (queue.fuse(), guard)
}

fn json() -> slog_json::Json<std::io::Stderr> {
    slog_json::Json::new(std::io::stderr())
        .add_key_value(o!(
            "ts" => FnValue(|_: &Record<'_>| humantime::format_rfc3339_millis(now()).to_string()),
            "level" => FnValue(|record: &Record<'_>| record.level().as_str().to_lowercase()),
            "msg" => PushFnValue(|record: &Record<'_>, ser| ser.emit(record.msg())),
            "module" => FnValue(|record: &Record<'_>| record.module()),
        ))
        .build()
}

#[expect(clippy::disallowed_methods, reason = "a log line's time is nobody's decision")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

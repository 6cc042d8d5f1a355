//! The log: one asynchronous drain to standard error, as JSON or for people.

use std::io::{BufWriter, IsTerminal, Stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use slog::{Drain, FnValue, Level, Logger, Never, OwnedKVList, PushFnValue, Record, b, o, record};
use slog_async::{AsyncCore, AsyncError, AsyncGuard};

use super::metrics::Metrics;
use crate::settings::{LogFormat, LogLevel, LogSettings};

/// Lines that may wait to be written. More are dropped and counted, in the metrics and in the log itself.
const QUEUE_LINES: usize = 8192;

/// Keeps the log alive; what waits is written when it is dropped.
pub struct Logging {
    /// The root of all loggers.
    pub root: Logger,
    _scope: Option<slog_scope::GlobalLoggerGuard>,
    _drain: AsyncGuard,
}

/// Starts the log. Lines of libraries (`log`, `tracing`) come into it at warn and above.
#[must_use]
pub fn start(settings: &LogSettings, metrics: &Metrics) -> Logging {
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let dropped = metrics.log.dropped_lines.clone();
    let (queue, guard) = if human {
        let decorator = slog_term::TermDecorator::new().stderr().build();
        Queue::new(slog_term::FullFormat::new(decorator).use_utc_timestamp().build().ignore_res(), dropped)
    } else {
        Queue::new(json().ignore_res(), dropped)
    };
    let root = Logger::root(Levels::new(settings, queue), o!());
    let scope = slog_scope::set_global_logger(root.new(o!("from" => "library")));
    // Another logger was installed only if this is not the first start in the process, as in tests.
    let installed = slog_stdlog::init_with_level(log::Level::Warn).is_ok();
    Logging { root, _scope: installed.then_some(scope), _drain: guard }
}

/// Lets lines pass that are severe enough for their module.
struct Levels<D> {
    level: Level,
    /// The longest path first, so that the first that fits is the closest.
    modules: Vec<(String, Level)>,
    least: Level,
    drain: D,
}

impl<D> Levels<D> {
    fn new(settings: &LogSettings, drain: D) -> Self {
        let level = severity(settings.levels.level);
        let mut modules: Vec<(String, Level)> = settings
            .levels
            .modules
            .iter()
            .map(|(module, level)| (module.clone(), severity(*level)))
            .collect();
        modules.sort_by_key(|(module, _)| std::cmp::Reverse(module.len()));
        let levels = modules.iter().map(|(_, level)| *level).chain([level]);
        // The least severe is the one of the greatest number.
        let least = levels.max_by_key(|level| level.as_usize()).unwrap_or(level);
        Self { level, modules, least, drain }
    }

    fn level_of(&self, module: &str) -> Level {
        let holds = |path: &str| {
            module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.modules.iter().find(|(path, _)| holds(path)).map_or(self.level, |(_, level)| *level)
    }
}

impl<D: Drain<Ok = (), Err = Never>> Drain for Levels<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if record.level().is_at_least(self.level_of(record.module())) {
            self.drain.log(record, values)?;
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(self.least)
    }
}

/// Hands lines to the thread that writes them, and counts those for which there is no room.
struct Queue {
    core: AsyncCore,
    dropped: Counter,
    /// Dropped since the log last said so.
    unsaid: AtomicU64,
}

impl Queue {
    fn new<D>(drain: D, dropped: Counter) -> (Self, AsyncGuard)
    where
        D: Drain<Ok = (), Err = Never> + Send + 'static,
    {
        let (core, guard) = AsyncCore::custom(drain).chan_size(QUEUE_LINES).build_with_guard();
        (Self { core, dropped, unsaid: AtomicU64::new(0) }, guard)
    }

    fn confess(&self, values: &OwnedKVList) {
        let count = self.unsaid.swap(0, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let text = format_args!("lines of the log were dropped because too many were waiting");
        let said = self.core.log(&record!(Level::Warning, "", &text, b!("count" => count)), values);
        if said.is_err() {
            self.unsaid.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        self.confess(values);
        // Any other error is that of a thread that is gone, at the very end.
        if let Err(AsyncError::Full) = self.core.log(record, values) {
            self.dropped.inc();
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn severity(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
    }
}

/// Every line is one write: piece by piece as it is put together, it would be some thirty.
fn json() -> slog_json::Json<BufWriter<Stderr>> {
    slog_json::Json::new(BufWriter::new(std::io::stderr()))
        .set_flush(true)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::settings::LogLevels;

    /// A drain that says when it has begun a line, and ends it when it is told to.
    struct Slow {
        begun: mpsc::SyncSender<()>,
        go_on: std::sync::Mutex<mpsc::Receiver<()>>,
    }

    impl Drain for Slow {
        type Ok = ();
        type Err = Never;

        fn log(&self, _: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            let _ = self.begun.send(());
            let _ = self.go_on.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn lines_for_which_there_is_no_room_are_counted() {
        let metrics = Metrics::default();
        let (begun, has_begun) = mpsc::sync_channel(0);
        let (go, go_on) = mpsc::channel();
        let slow = Slow { begun, go_on: go_on.into() };
        let (queue, _guard) = Queue::new(slow, metrics.log.dropped_lines.clone());
        let log = Logger::root(queue, o!());
        slog::info!(log, "in hand");
        has_begun.recv().unwrap();
        for _ in 0..QUEUE_LINES + 7 {
            slog::info!(log, "waiting");
        }
        assert_eq!(metrics.log.dropped_lines.get(), 7);
        drop((has_begun, go));
    }

    #[test]
    fn the_closest_module_decides() {
        let modules = vec![
            ("resume_chatbot::llm".to_owned(), LogLevel::Debug),
            ("resume_chatbot::llm::turn".to_owned(), LogLevel::Error),
        ];
        let levels = LogLevels { level: LogLevel::Info, modules };
        let settings = LogSettings { levels, format: LogFormat::Json };
        let levels = Levels::new(&settings, ());
        for (module, level) in [
            ("resume_chatbot", Level::Info),
            ("resume_chatbot::llm", Level::Debug),
            ("resume_chatbot::llm::actor", Level::Debug),
            ("resume_chatbot::llm::turn", Level::Error),
            ("resume_chatbot::llms", Level::Info),
        ] {
            assert_eq!(levels.level_of(module), level, "{module}");
        }
        assert_eq!(levels.least, Level::Debug);
    }
}

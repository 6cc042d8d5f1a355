//! The log: asynchronous output to standard error, as JSON or human-readable text.

use std::io::{BufWriter, IsTerminal, Stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use slog::{Drain, FnValue, Level, Logger, Never, OwnedKVList, PushFnValue, Record, b, o, record};
use slog_async::{AsyncCore, AsyncError, AsyncGuard};

use crate::telemetry::metrics::Metrics;

/// The capacity of the queue in lines. Further lines are dropped and counted, in the metrics and in
/// the log.
const QUEUE_LINES: usize = 8192;

/// What to log, and how.
#[derive(Clone, Debug)]
pub struct LoggerOptions {
    /// The minimum severity of lines.
    pub level: Level,
    /// The minimum severity of lines of some modules and their submodules, by module path.
    pub modules: Vec<(String, Level)>,
    pub format: OutputFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// `Human` on a terminal, `Json` elsewhere.
    Auto,
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// The running log. Queued lines are written when it is dropped.
pub struct Logging {
    /// The root of all loggers.
    pub root: Logger,
    _scope: Option<slog_scope::GlobalLoggerGuard>,
    _drain: AsyncGuard,
}

/// Starts the log. Also receives the lines of libraries (`log`, `tracing`) of level `warn` and
/// above.
#[must_use]
pub fn start(options: &LoggerOptions, metrics: &Metrics) -> Logging {
    let is_human = match options.format {
        OutputFormat::Human => true,
        OutputFormat::Json => false,
        OutputFormat::Auto => std::io::stderr().is_terminal(),
    };
    let dropped = metrics.log.dropped_lines.clone();
    let (queue, guard) = if is_human {
        let decorator = slog_term::TermDecorator::new().stderr().build();
        Queue::new(slog_term::FullFormat::new(decorator).use_utc_timestamp().build().ignore_res(), dropped)
    } else {
        Queue::new(json().ignore_res(), dropped)
    };
    let root = Logger::root(LevelFilter::new(options, queue), o!());
    let scope = slog_scope::set_global_logger(root.new(o!("from" => "library")));
    // Fails only if the log was started before in this process, as in tests.
    let installed = slog_stdlog::init_with_level(log::Level::Warn).is_ok();
    Logging { root, _scope: installed.then_some(scope), _drain: guard }
}

/// Filters lines by the level of their module.
struct LevelFilter<D> {
    level: Level,
    /// Longest path first, so that the first match is the most specific.
    modules: Vec<(String, Level)>,
    /// The most verbose of all levels.
    most_verbose: Level,
    drain: D,
}

impl<D> LevelFilter<D> {
    fn new(options: &LoggerOptions, drain: D) -> Self {
        let level = options.level;
        let mut modules = options.modules.clone();
        modules.sort_by_key(|(module, _)| std::cmp::Reverse(module.len()));
        let levels = modules.iter().map(|(_, level)| *level).chain([level]);
        // More verbose levels have higher numbers.
        let most_verbose = levels.max_by_key(|level| level.as_usize()).unwrap_or(level);
        Self { level, modules, most_verbose, drain }
    }

    fn level_of(&self, module: &str) -> Level {
        let contains = |path: &str| {
            module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.modules.iter().find(|(path, _)| contains(path)).map_or(self.level, |(_, level)| *level)
    }
}

impl<D: Drain<Ok = (), Err = Never>> Drain for LevelFilter<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if record.level().is_at_least(self.level_of(record.module())) {
            self.drain.log(record, values)?;
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(self.most_verbose)
    }
}

/// Passes lines to the writing thread, and counts those that do not fit into the queue.
struct Queue {
    core: AsyncCore,
    dropped: Counter,
    /// Lines dropped since the last log line about it.
    unreported: AtomicU64,
}

impl Queue {
    fn new<D>(drain: D, dropped: Counter) -> (Self, AsyncGuard)
    where
        D: Drain<Ok = (), Err = Never> + Send + 'static,
    {
        let (core, guard) = AsyncCore::custom(drain).chan_size(QUEUE_LINES).build_with_guard();
        (Self { core, dropped, unreported: AtomicU64::new(0) }, guard)
    }

    fn report_dropped(&self, values: &OwnedKVList) {
        let count = self.unreported.swap(0, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let text = format_args!("log queue full, lines dropped");
        let logged = self.core.log(&record!(Level::Warning, "", &text, b!("count" => count)), values);
        if logged.is_err() {
            self.unreported.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        self.report_dropped(values);
        // Other errors occur only after the writing thread has ended, at the end of the process.
        if let Err(AsyncError::Full) = self.core.log(record, values) {
            self.dropped.inc();
            self.unreported.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Buffers each line, which would otherwise take about thirty write calls.
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

#[expect(clippy::disallowed_methods, reason = "no decision depends on the time of a log line")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A drain that reports the start of each line and then blocks until it receives a message.
    struct BlockingDrain {
        started: mpsc::SyncSender<()>,
        proceed: std::sync::Mutex<mpsc::Receiver<()>>,
    }

    impl Drain for BlockingDrain {
        type Ok = ();
        type Err = Never;

        fn log(&self, _: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            let _ = self.started.send(());
            let _ = self.proceed.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn dropped_lines_are_counted() {
        let metrics = Metrics::default();
        let (started, has_started) = mpsc::sync_channel(0);
        let (unblock, proceed) = mpsc::channel();
        let drain = BlockingDrain { started, proceed: proceed.into() };
        let (queue, _guard) = Queue::new(drain, metrics.log.dropped_lines.clone());
        let log = Logger::root(queue, o!());
        slog::info!(log, "being written");
        has_started.recv().unwrap();
        for _ in 0..QUEUE_LINES + 7 {
            slog::info!(log, "queued");
        }
        assert_eq!(metrics.log.dropped_lines.get(), 7);
        drop((has_started, unblock));
    }

    #[test]
    fn most_specific_module_decides_the_level() {
        let modules = vec![
            ("resume_chatbot::llm".to_owned(), Level::Debug),
            ("resume_chatbot::llm::turn".to_owned(), Level::Error),
        ];
        let options = LoggerOptions { level: Level::Info, modules, format: OutputFormat::Json };
        let filter = LevelFilter::new(&options, ());
        for (module, level) in [
            ("resume_chatbot", Level::Info),
            ("resume_chatbot::llm", Level::Debug),
            ("resume_chatbot::llm::actor", Level::Debug),
            ("resume_chatbot::llm::turn", Level::Error),
            ("resume_chatbot::llms", Level::Info),
        ] {
            assert_eq!(filter.level_of(module), level, "{module}");
        }
        assert_eq!(filter.most_verbose, Level::Debug);
    }
}

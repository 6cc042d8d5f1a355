//! What can be done: `serve`, `demo`, `check`, `migrate`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use resume_chatbot::llm::instructions::Instructions;
use resume_chatbot::persistence::migrations::migrate;
use resume_chatbot::resume::{self, Document};
use resume_chatbot::settings::{DatabaseUrl, Loaded, Purpose, Settings, process_environment};
use resume_chatbot::shutdown::Departure;
use resume_chatbot::startup::{Answers, Application};
use resume_chatbot::telemetry::logger;
use resume_chatbot::telemetry::metrics::Metrics;
use resume_chatbot::tokens::TokenCounter;
use slog::{Logger, error, info, warn};

/// `EX_CONFIG` of sysexits: the settings are wrong, starting again will not help.
const EX_CONFIG: u8 = 78;

/// The resume that `demo` talks about.
const SAMPLE: &str = include_str!("../examples/resumes/sample.md");

/// Visitors of your site chat with your resume.
#[derive(Parser)]
#[command(version)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// A TOML file with settings; the environment overrides it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the resume at RESUME_PATH, answered by a language model.
    Serve {
        /// Do not bring the database to the schema of this version first.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Try it: a sample resume, quoted instead of answered by a model; nothing needs to be set.
    Demo,
    /// Check the settings, the resume and the database without serving.
    Check,
    /// Bring the database to the schema of this version and end.
    Migrate,
}

/// Why a command failed: the exit code and what to print.
struct Failed(u8, String);

type Outcome = Result<(), Failed>;

/// Runs a command.
pub(crate) fn run(command_line: CommandLine) -> ExitCode {
    // The only failure is that somebody else has installed one, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = command_line.config.as_deref();
    let outcome = match command_line.command {
        Command::Serve { no_migrate } => serve(config, !no_migrate),
        Command::Demo => demo(config),
        Command::Check => check(config),
        Command::Migrate => migrate_only(config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(code, message)) => {
            let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
            ExitCode::from(code)
        }
    }
}

fn serve(config: Option<&Path>, migrating: bool) -> Outcome {
    let loaded = load(&Purpose::Serve, config)?;
    let resume = read_resume(&loaded.settings)?;
    let instructions = instructions(&resume, &loaded.settings)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&loaded.settings.log, &metrics);
    warn_about(&loaded.warnings, &logging.root);
    if migrating {
        bring_up_to_date(&loaded.settings.database.url, &logging.root)?;
    }
    serve_until_signal(&loaded.settings, &resume, instructions, Answers::FromModel, &metrics, &logging.root)
}

fn demo(config: Option<&Path>) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("resume-chatbot-demo-")
        .tempdir()
        .map_err(|error| Failed(1, format!("no temporary folder could be made: {error}")))?;
    let purpose = Purpose::Demo { database: folder.path().join("demo.db") };
    let loaded = load(&purpose, config)?;
    let sample = folder.path().join("sample.md");
    std::fs::write(&sample, SAMPLE)
        .map_err(|error| Failed(1, format!("the sample cannot be written: {error}")))?;
    let resume =
        resume::load(&sample).map_err(|error| Failed(1, format!("the sample cannot be read: {error}")))?;
    let instructions = instructions(&resume, &loaded.settings)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&loaded.settings.log, &metrics);
    warn_about(&loaded.warnings, &logging.root);
    bring_up_to_date(&loaded.settings.database.url, &logging.root)?;
    serve_until_signal(
        &loaded.settings,
        &resume,
        instructions,
        Answers::FromExcerpts,
        &metrics,
        &logging.root,
    )
}

fn check(config: Option<&Path>) -> Outcome {
    let loaded = load(&Purpose::Serve, config)?;
    let settings = &loaded.settings;
    let mut page = String::from("Settings\n");
    for (name, value) in settings.effective() {
        page.push_str(&format!("  {name:<34} {}\n", if value.is_empty() { "(unset)" } else { &value }));
    }
    for warning in &loaded.warnings {
        page.push_str(&format!("  warning: {warning}\n"));
    }
    print(&page)?;
    let resume = read_resume(settings)?;
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    print(&describe(&resume, settings, counter))?;
    instructions(&resume, settings)?;
    let url = settings.database.url.clone();
    let checked = runtime()?
        .block_on(async move { resume_chatbot::persistence::migrations::inspect(&url).await })
        .map_err(|it| Failed(1, format!("Database: {it}")))?;
    let pending = match checked.pending {
        0 => "up to date".to_owned(),
        count => format!("{count} migrations to apply (`serve` and `migrate` do so)"),
    };
    print(&format!("\nDatabase\n  {}: connected, {pending}\n", settings.database.url.masked()))
}

fn migrate_only(config: Option<&Path>) -> Outcome {
    let loaded = load(&Purpose::Migrate, config)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&loaded.settings.log, &metrics);
    bring_up_to_date(&loaded.settings.database.url, &logging.root)
}

fn load(purpose: &Purpose, config: Option<&Path>) -> Result<Loaded, Failed> {
    Settings::load(purpose, config, process_environment())
        .map_err(|faults| Failed(EX_CONFIG, faults.to_string()))
}

fn read_resume(settings: &Settings) -> Result<Document, Failed> {
    let path = settings.resume.as_ref().map(|it| it.path.as_path()).unwrap_or(Path::new(""));
    resume::load(path)
        .map_err(|error| Failed(EX_CONFIG, format!("RESUME_PATH ({}): {error}", path.display())))
}

/// Before anything is touched: a resume that does not fit is a fault of the settings.
fn instructions(resume: &Document, settings: &Settings) -> Result<Instructions, Failed> {
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    Instructions::new(resume, &settings.tokens, counter).map_err(|error| Failed(EX_CONFIG, error.to_string()))
}

fn warn_about(warnings: &[String], log: &Logger) {
    for warning in warnings {
        warn!(log, "{}", warning);
    }
}

/// Migrates on a runtime of its own, before any actor: the library blocks its thread, which actors' runtimes refuse.
fn bring_up_to_date(url: &DatabaseUrl, log: &Logger) -> Outcome {
    let migrated = runtime()?.block_on(migrate(url)).map_err(|error| {
        error!(log, "the database could not be migrated"; "cause" => %error);
        Failed(1, format!("DATABASE_URL ({}): {error}", url.masked()))
    })?;
    info!(log, "the database is up to date"; "applied" => migrated.applied.join(", "));
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failed(1, format!("no threads could be started: {error}")))
}

fn serve_until_signal(
    settings: &Settings,
    resume: &Document,
    instructions: Instructions,
    answers: Answers,
    metrics: &Arc<Metrics>,
    log: &Logger,
) -> Outcome {
    actix::System::new().block_on(async {
        let application = Application::build(settings, resume, instructions, answers, metrics, log)
            .map_err(|error| Failed(1, error.to_string()))?;
        let name = &resume.name;
        info!(log, "listening"; "address" => %application.address);
        print(&format!("Chat about {name} at http://{}\n", application.address))?;
        match application.run(settings.shutdown_timeout).await {
            Ok(Departure::Orderly) => Ok(()),
            Ok(Departure::AtOnce) => Err(Failed(130, "ended by a second signal".to_owned())),
            Err(error) => Err(Failed(1, format!("the server failed: {error}"))),
        }
    })
}

fn describe(resume: &Document, settings: &Settings, counter: TokenCounter) -> String {
    let context = settings.tokens.max_context;
    let total = counter.count(&resume.to_markdown());
    let share = f64::from(total) * 100.0 / f64::from(context);
    let mut page = format!(
        "\nResume of {} (revision {})\n  {total} tokens, {share:.0} % of the context window\n",
        resume.name,
        resume.revision()
    );
    for section in &resume.sections {
        let indent = "  ".repeat(usize::from(section.level));
        page.push_str(&format!("  {indent}{} ({} tokens)\n", section.title, counter.count(&section.text)));
    }
    page
}

fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failed(1, format!("standard output cannot be written to: {error}")))
}

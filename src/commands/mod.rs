//! What can be done from the command line, one file a command.

mod assess;
mod check;
mod completions;
mod conversations;
mod healthcheck;
mod migrate;
mod page;
mod serve;
mod span;
mod usage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use resume_chatbot::persistence::reports::Reports;
use resume_chatbot::settings::{LoadedSettings, Purpose, Settings, process_environment, reference};

/// `EX_CONFIG` of sysexits: the settings are wrong, starting again will not help.
const EX_CONFIG: u8 = 78;

/// `EX_SOFTWARE` of sysexits: a fault of our own that came back again and again; starting again helps for a while.
const EX_SOFTWARE: u8 = 70;

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
    #[command(after_long_help = reference::help())]
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
    /// Read, export or delete what visitors asked; also while the server runs.
    #[command(subcommand)]
    Conversations(conversations::Command),
    /// What was asked, and what it took: questions, tokens, cost.
    Usage(usage::Arguments),
    /// Ask the running server whether it is ready; the exit code is 0 if it is, else 1.
    Healthcheck(healthcheck::Arguments),
    /// Measure on files of texts how many look like attempts to take over the model.
    Assess(assess::Arguments),
    /// Print a script that completes these commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
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
        Command::Serve { no_migrate } => serve::serve(config, !no_migrate),
        Command::Demo => serve::demo(config),
        Command::Check => check::check(config),
        Command::Migrate => migrate::migrate(config),
        Command::Conversations(command) => conversations::run(command, config),
        Command::Usage(arguments) => usage::usage(&arguments, config),
        Command::Healthcheck(arguments) => healthcheck::healthcheck(&arguments, config),
        Command::Assess(arguments) => assess::assess(&arguments),
        Command::Completions { shell } => completions::completions(shell),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(code, message)) => {
            let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
            ExitCode::from(code)
        }
    }
}

fn load(purpose: &Purpose, config: Option<&Path>) -> Result<LoadedSettings, Failed> {
    Settings::load(purpose, config, process_environment())
        .map_err(|error| Failed(EX_CONFIG, error.to_string()))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failed(1, format!("no threads could be started: {error}")))
}

/// Does something with the reports of the database that is set.
fn with_reports<T>(
    config: Option<&Path>,
    work: impl AsyncFnOnce(&Reports) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let database = load(&Purpose::Report, config)?.settings.database;
    let named = |error| Failed(1, format!("DATABASE_URL ({}): {error}", database.url.redacted()));
    runtime()?.block_on(async {
        let reports = Reports::open(&database).await.map_err(named)?;
        work(&reports).await
    })
}

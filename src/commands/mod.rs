//! The subcommands of the binary, one file each.

mod assess;
mod check;
mod completions;
mod conversations;
mod duration_arg;
mod healthcheck;
mod migrate;
mod model_server;
mod output;
mod probe;
mod serve;
mod usage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use resume_chatbot::persistence::reports::Reports;
use resume_chatbot::settings::{LoadedSettings, Purpose, Settings, process_environment, reference};

use serve::Migration;

const EXIT_FAILURE: u8 = 1;

/// The code that clap uses for an invalid command line.
const EXIT_USAGE: u8 = 2;

/// `EX_SOFTWARE` of sysexits: an internal error. A restart helps at least for a while.
const EXIT_SOFTWARE: u8 = 70;

/// `EX_CONFIG` of sysexits: the settings or the resume are wrong. A restart does not help.
const EXIT_CONFIG: u8 = 78;

/// The code of shells for a process ended by SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

/// Visitors of your site chat with your resume.
#[derive(Parser)]
#[command(version)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// A TOML file with settings; environment variables override it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server with the resume at RESUME_PATH.
    #[command(after_long_help = reference::help())]
    Serve {
        /// Do not migrate the database to the schema of this version first.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Start the server with a sample resume and without a model; no settings are needed.
    Demo,
    /// Check the settings, the resume and the database without starting the server.
    Check,
    /// Ask the model server one question, which costs a few tokens, and report how it answers.
    Probe(probe::Arguments),
    /// Migrate the database to the schema of this version and exit.
    Migrate,
    /// List, show, export or delete conversations, also while the server runs.
    #[command(subcommand)]
    Conversations(conversations::Command),
    /// Report the number of questions, their tokens and their cost.
    Usage(usage::Arguments),
    /// Check whether the server is ready; exits with 0 if it is, otherwise with 1.
    Healthcheck(healthcheck::Arguments),
    /// Run the prompt-injection detector on text files and report how many texts it flags.
    Assess(assess::Arguments),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

/// Why a command failed.
struct CliError {
    exit_code: u8,
    /// Printed to standard error.
    message: String,
}

type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    fn new(exit_code: u8, message: impl ToString) -> Self {
        Self { exit_code, message: message.to_string() }
    }

    fn failure(message: impl ToString) -> Self {
        Self::new(EXIT_FAILURE, message)
    }

    fn config(message: impl ToString) -> Self {
        Self::new(EXIT_CONFIG, message)
    }
}

/// Runs a command and prints its error.
pub(crate) fn run(command_line: CommandLine) -> ExitCode {
    // Fails only if a provider is already installed, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = command_line.config.as_deref();
    let result = match command_line.command {
        Command::Serve { no_migrate } => {
            serve::serve(config, if no_migrate { Migration::Skip } else { Migration::Apply })
        }
        Command::Demo => serve::demo(config),
        Command::Check => check::check(config),
        Command::Probe(arguments) => probe::probe(&arguments, config),
        Command::Migrate => migrate::migrate(config),
        Command::Conversations(command) => conversations::run(command, config),
        Command::Usage(arguments) => usage::usage(&arguments, config),
        Command::Healthcheck(arguments) => healthcheck::healthcheck(&arguments, config),
        Command::Assess(arguments) => assess::assess(&arguments),
        Command::Completions { shell } => completions::completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError { exit_code, message }) => {
            let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
            ExitCode::from(exit_code)
        }
    }
}

fn load_settings(purpose: &Purpose, config: Option<&Path>) -> CliResult<LoadedSettings> {
    Settings::load(purpose, config, process_environment()).map_err(CliError::config)
}

fn build_runtime() -> CliResult<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format!("cannot start threads: {error}")))
}

/// Connects to the configured database and runs `work` on it.
fn with_reports<T>(config: Option<&Path>, work: impl AsyncFnOnce(&Reports) -> CliResult<T>) -> CliResult<T> {
    let database = load_settings(&Purpose::Report, config)?.settings.database;
    let open_error =
        |error| CliError::failure(format!("DATABASE_URL ({}): {error}", database.url.redacted()));
    build_runtime()?.block_on(async {
        let reports = Reports::open(&database).await.map_err(open_error)?;
        work(&reports).await
    })
}

//! Torture test: many visitors, a server and a database with injected faults, and an oracle that
//! checks every frame. `tests/torture` runs it and documents the arguments.

#![expect(clippy::print_stdout, reason = "the report is printed")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a failed set-up should end the run")]

mod fault_injection;
mod final_check;
#[allow(dead_code, unused_imports, reason = "its unit tests, which the suite runs, are compiled here too")]
mod oracle;
mod random;
mod run_state;
mod scripted_model;
#[allow(dead_code, reason = "test support that this uses in part")]
#[path = "../../tests/suite/support/mod.rs"]
mod support;
mod visitor;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use run_state::RunState;
use support::raise_open_file_limit;
use support::server::config::ServerConfig;
use support::server::test_server::Server;
use support::stores::fresh_store::{FreshStore, StoreKind};
use support::upstream::fake_openrouter::FakeOpenRouter;
use tokio::task::JoinSet;
use visitor::Visitor;

/// The command line of a run.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long the visitors stay.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// The seed of all random choices. The default is chosen at random and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The database.
    #[arg(long, value_enum, default_value_t = StoreArgument::Sqlite)]
    store: StoreArgument,
    /// The number of concurrent visitors.
    #[arg(long, default_value_t = 60)]
    visitors: usize,
    /// A file for the log of the server, interleaved with the violations.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The command line of `pg_ctl` without its command, to kill and start PostgreSQL.
    #[arg(long, default_value = "")]
    postgres_control: String,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreArgument {
    Sqlite,
    Postgres,
}

/// The parameters of a run.
struct Plan {
    seed: u64,
    duration: Duration,
    visitors: usize,
    store: StoreArgument,
    log: Option<File>,
    /// The command line of `pg_ctl`, or empty.
    pg_ctl: Vec<String>,
}

/// The result of a run.
struct Report {
    lines: Vec<String>,
    has_passed: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    raise_open_file_limit();
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(random_seed);
    let Arguments { minutes, store, visitors, .. } = arguments;
    println!("torture: seed {seed}, {minutes} minutes, {visitors} visitors, {store:?}");
    let log = arguments.log.map(|path| {
        File::create(&path).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()))
    });
    let pg_ctl = arguments.postgres_control.split_whitespace().map(ToOwned::to_owned).collect();
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let report = run(Plan { seed, duration, visitors, store, log, pg_ctl }).await;
    for line in report.lines {
        println!("{line}");
    }
    let result = if report.has_passed { "no violations" } else { "there are violations" };
    println!("torture: seed {seed}: {result}");
    if report.has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random_seed() -> u64 {
    let mut bytes = [0; 4];
    let filled = getrandom::fill(&mut bytes).map(|()| u64::from(u32::from_le_bytes(bytes)));
    filled.unwrap_or_default()
}

async fn run(plan: Plan) -> Report {
    let upstream = FakeOpenRouter::start().await;
    upstream.discard_requests();
    let store = match plan.store {
        StoreArgument::Sqlite => StoreKind::Sqlite.create().await,
        StoreArgument::Postgres => StoreKind::Postgres.create().await,
    };
    let log_level = if plan.log.is_some() { "info" } else { "error" };
    let mut server = Server::start(server_config(&store, &upstream, log_level)).await;
    let run = Arc::new(RunState::new(plan.seed, server.address(), plan.duration, plan.log));
    let run_of_model = Arc::clone(&run);
    upstream.answer_with(move |request| scripted_model::choose_script(&run_of_model, request));
    let began = Instant::now();
    let mut visits = JoinSet::new();
    for number in 0..plan.visitors {
        visits.spawn(Visitor::new(number, &run).visit());
    }
    fault_injection::inject_faults(&mut server, &store, &run, &plan.pg_ctl).await;
    let visitors = visits.join_all().await;
    let duration = began.elapsed();

    // After a restart, the final check sees only what is in the store.
    fault_injection::terminate_and_restart(&mut server, &run).await;
    check_store(visitors, &store, &run).await;
    let (mut lines, has_passed) = run.report_lines();
    lines.insert(0, format!("duration: {:.1} minutes", duration.as_secs_f64() / 60.0));
    Report { lines, has_passed }
}

fn server_config(store: &FreshStore, upstream: &FakeOpenRouter, log_level: &str) -> ServerConfig {
    ServerConfig::serve(store, upstream)
        .with("LOG_LEVEL", log_level)
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", 30)
        .with("LLM_FIRST_WORD_TIMEOUT", "4s")
        .with("LLM_IDLE_TIMEOUT", "4s")
        .with("LLM_BREAKER_FAILURES", 0)
        // The oracle can only check answers of the model.
        .with("DEGRADED_MODE", "off")
        .with("RECONNECT_GRACE", "10s")
        .with("SLOW_READER_TIMEOUT", "4s")
        .with("SHUTDOWN_TIMEOUT", "6s")
}

/// Checks the stored history of every session, and that the store holds no other turns.
async fn check_store(visitors: Vec<Visitor>, store: &FreshStore, run: &Arc<RunState>) {
    let mut checks = JoinSet::new();
    for visitor in visitors {
        checks.spawn(final_check::check_sessions(visitor, Arc::clone(run)));
    }
    let turns: usize = checks.join_all().await.into_iter().sum();
    let stored = store.query_number("SELECT count(*) FROM turns").await;
    if i64::try_from(turns) != Ok(stored) {
        let detail = format!("{stored} turns in the store, {turns} in all histories");
        run.report("store", &oracle::Violation::new("every stored turn is in a history", detail));
    }
}

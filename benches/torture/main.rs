//! Torture: many visitors, a server and a database that are broken again and again, and an oracle
//! that believes nothing. `tests/torture` runs it; the arguments are described there.

#![expect(clippy::print_stdout, reason = "printing the report is what it is for")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "what is not there ends the run")]

mod fault_injection;
mod final_check;
#[allow(dead_code, unused_imports, reason = "its tests, which the suite runs, are compiled here too")]
mod oracle;
mod random;
mod run_state;
mod scripted_model;
#[allow(dead_code, reason = "the vocabulary of the tests, of which this uses a little")]
#[path = "../../tests/suite/support/mod.rs"]
mod support;
mod visitor;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use run_state::World;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::server::config::ServerConfig;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use tokio::task::JoinSet;
use visitor::Visitor;

/// What a run is asked to be.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long the visitors stay.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Decides what everybody does; chosen at random, and printed, if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The database.
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    store: Kind,
    /// Visitors at once.
    #[arg(long, default_value_t = 60)]
    visitors: usize,
    /// A file for the log of the server, with what was broken between its lines.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The command line of `pg_ctl` for the cluster, without its command, so that it can be killed
    /// and started.
    #[arg(long, default_value = "")]
    postgres_control: String,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised far enough, connections are refused, which is counted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let arguments = Arguments::parse();
    let mut bytes = [0; 4];
    let chosen = getrandom::fill(&mut bytes).map(|()| u64::from(u32::from_le_bytes(bytes)));
    let seed = arguments.seed.or(chosen.ok()).unwrap_or_default();
    let Arguments { minutes, store, visitors, .. } = arguments;
    println!("torture: seed {seed}, {minutes} minutes, {visitors} visitors, {store:?}");
    let control: Vec<String> = arguments.postgres_control.split_whitespace().map(ToOwned::to_owned).collect();
    let log = arguments.log.map(|path| {
        File::create(&path).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()))
    });
    let plan = Plan { seed, lasts: Duration::from_secs_f64(minutes * 60.0), visitors };
    let (lines, kept) = run(plan, store, log, &control).await;
    for line in lines {
        println!("{line}");
    }
    println!(
        "torture: seed {seed}: {}",
        if kept { "every promise was kept" } else { "promises were broken" }
    );
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who comes, and for how long.
struct Plan {
    seed: u64,
    lasts: Duration,
    visitors: usize,
}

async fn run(plan: Plan, kind: Kind, log: Option<File>, control: &[String]) -> (Vec<String>, bool) {
    let upstream = FakeOpenRouter::start().await;
    upstream.discard_requests();
    let store = match kind {
        Kind::Sqlite => StoreKind::Sqlite.create().await,
        Kind::Postgres => StoreKind::Postgres.create().await,
    };
    let config = ServerConfig::serve(&store, &upstream)
        .with("LOG_LEVEL", if log.is_some() { "info" } else { "error" })
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", 30)
        .with("LLM_FIRST_WORD_TIMEOUT", "4s")
        .with("LLM_IDLE_TIMEOUT", "4s")
        .with("LLM_BREAKER_FAILURES", 0)
        // An answer in other words than the model's could not be judged.
        .with("DEGRADED_MODE", "off")
        .with("RECONNECT_GRACE", "10s")
        .with("SLOW_READER_TIMEOUT", "4s")
        .with("SHUTDOWN_TIMEOUT", "6s");
    let mut server = Server::start(config).await;
    let world = Arc::new(World::new(plan.seed, server.address(), plan.lasts, log));
    let model = Arc::clone(&world);
    upstream.answer_with(move |request| scripted_model::answer(&model, request));
    let began = Instant::now();
    let mut visits = JoinSet::new();
    for number in 0..plan.visitors {
        visits.spawn(Visitor::new(number, &world).visit());
    }
    fault_injection::inject(&mut server, &store, &world, control).await;
    let visitors = visits.join_all().await;
    let stayed = began.elapsed();

    // Once more from the store alone.
    fault_injection::terminate(&mut server, &world).await;
    let mut inspections = JoinSet::new();
    for visitor in visitors {
        inspections.spawn(final_check::inspect(visitor, Arc::clone(&world)));
    }
    let turns: usize = inspections.join_all().await.into_iter().sum();
    let stored = store.query_number("SELECT count(*) FROM turns").await;
    if i64::try_from(turns) != Ok(stored) {
        let said = format!("{stored} turns in the store, {turns} in all histories");
        world.report("store", &oracle::Violation::new("every stored turn is a visitor's", said));
    }
    let (mut lines, kept) = world.told();
    lines.insert(0, format!("stayed: {:.1} minutes", stayed.as_secs_f64() / 60.0));
    (lines, kept)
}

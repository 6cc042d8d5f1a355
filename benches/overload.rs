//! Behaviour under overload: `cargo bench --bench overload` prints the answers per second and the
//! wait for the first delta at half, full, double and fourfold capacity of the model.

#![expect(clippy::print_stdout, reason = "the results are printed")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a failed measurement should end the run")]

mod measurement;

use std::time::{Duration, Instant};

use measurement::statistics::percentile;
use measurement::support;
use support::client::chat_client::ChatClient;
use support::server::config::ServerConfig;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use support::upstream::script::Script;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Concurrent answers, each of 25 words at intervals of 20 ms: a capacity of 64 answers per second.
const CONCURRENCY: u32 = 32;
const WORDS: usize = 25;
const PAUSE: Duration = Duration::from_millis(20);
const CAPACITY: u32 = 64;

const VISITORS: usize = 600;
const SECONDS: u32 = 20;

/// How one question ended.
enum Outcome {
    Answered {
        first_delta: Duration,
    },
    /// Rejected before it was accepted.
    Rejected,
    /// Failed after waiting in the queue.
    TimedOut,
}

#[tokio::main]
async fn main() {
    let mut goodput = Vec::new();
    for (load, share) in [("half", 50), ("all", 100), ("twice", 200), ("four times", 400)] {
        goodput.push(measure(load, CAPACITY * share / 100).await);
    }
    let peak = goodput[..2].iter().fold(0.0_f64, |max, rate| max.max(*rate));
    println!(
        "goodput at twice the capacity / peak: {:.2}; at four times: {:.2}",
        goodput[2] / peak,
        goodput[3] / peak
    );
}

/// Asks `rate` questions per second. Returns the answers per second.
async fn measure(load: &str, rate: u32) -> f64 {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::with_numbered_words(WORDS).every(PAUSE));
    let store = StoreKind::Sqlite.create().await;
    let config = ServerConfig::serve(&store, &upstream)
        .with("LLM_MAX_CONCURRENCY", CONCURRENCY)
        .with("LLM_QUEUE_TIMEOUT", "3s")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", 600);
    let server = Server::start(config).await;
    let (return_visitor, mut idle_visitors) = mpsc::unbounded_channel();
    for _ in 0..VISITORS {
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;
        let _ = return_visitor.send(visitor);
    }
    let (report, mut outcomes) = mpsc::unbounded_channel();
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..rate * SECONDS {
        ticks.tick().await;
        let Some(mut visitor) = idle_visitors.recv().await else { break };
        let (return_visitor, report) = (return_visitor.clone(), report.clone());
        tokio::spawn(async move {
            let _ = report.send(ask(&mut visitor).await);
            let _ = return_visitor.send(visitor);
        });
    }
    drop(report);
    let (mut answered, mut rejected, mut timed_out, mut waits) = (0.0_f64, 0, 0, Vec::new());
    while let Some(outcome) = outcomes.recv().await {
        match outcome {
            Outcome::Answered { first_delta } => {
                answered += 1.0;
                waits.push(first_delta);
            }
            Outcome::Rejected => rejected += 1,
            Outcome::TimedOut => timed_out += 1,
        }
    }
    let answer_rate = answered / began.elapsed().as_secs_f64();
    waits.sort();
    let (median, p99) = (percentile(&waits, 50), percentile(&waits, 99));
    println!(
        "{load:<10} of the capacity, {rate:>3} questions/s: {answer_rate:>5.1} answers/s, \
         first delta median {median:.2?}, p99 {p99:.2?}; \
         {rejected} rejected immediately, {timed_out} after waiting"
    );
    answer_rate
}

async fn ask(visitor: &mut ChatClient) -> Outcome {
    let began = Instant::now();
    visitor.ask("What does she do?").await;
    let (mut first_delta, mut accepted) = (None, false);
    loop {
        let frame = visitor.receive().await;
        match frame["type"].as_str().unwrap_or_default() {
            "accepted" => accepted = true,
            "delta" => {
                first_delta.get_or_insert_with(|| began.elapsed());
            }
            "error" if !accepted => return Outcome::Rejected,
            "done" => match first_delta {
                Some(first_delta) => return Outcome::Answered { first_delta },
                None => return Outcome::TimedOut,
            },
            _ => {}
        }
    }
}

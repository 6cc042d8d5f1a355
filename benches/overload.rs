//! What is left of the work when twice as much is asked as the model can give: `cargo bench --bench
//! overload` prints the answers per second at the model's capacity and at twice that, and how long
//! visitors wait for the first word.

#![expect(clippy::print_stdout, reason = "printing the figures is what it is for")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a measurement that goes wrong must end")]

#[allow(dead_code, reason = "the vocabulary of the tests, of which this uses a little")]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::client::chat_client::ChatClient;
use support::server::config::ServerConfig;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use support::upstream::script::Script;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Answers at once, of 25 words 20 ms apart: a capacity of 64 a second.
const PLACES: u32 = 32;
const WORDS: usize = 25;
const PAUSE: Duration = Duration::from_millis(20);
const CAPACITY: u32 = 64;

const VISITORS: usize = 600;
const SECONDS: u32 = 20;

/// How one question ended.
enum Ending {
    Answered { first_word: Duration },
    Refused,
    TurnedAway,
}

#[tokio::main]
async fn main() {
    let mut goodput = Vec::new();
    for (load, share) in [("half", 50), ("all", 100), ("twice", 200), ("four times", 400)] {
        let answered = under(load, CAPACITY * share / 100).await;
        goodput.push(answered);
    }
    let peak = goodput[..2].iter().fold(0.0_f64, |most, it| most.max(*it));
    println!(
        "goodput at twice the capacity / peak: {:.2}; at four times: {:.2}",
        goodput[2] / peak,
        goodput[3] / peak
    );
}

/// Asks so many questions a second, whatever becomes of them; returns the answers a second.
async fn under(load: &str, rate: u32) -> f64 {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::with_numbered_words(WORDS).every(PAUSE));
    let store = StoreKind::Sqlite.create().await;
    let config = ServerConfig::serve(&store, &upstream)
        .with("LLM_MAX_CONCURRENCY", PLACES)
        .with("LLM_QUEUE_TIMEOUT", "3s")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", 600);
    let server = Server::start(config).await;
    let (back, mut idle) = mpsc::unbounded_channel();
    for _ in 0..VISITORS {
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;
        let _ = back.send(visitor);
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..rate * SECONDS {
        ticks.tick().await;
        let Some(mut visitor) = idle.recv().await else { break };
        let (back, tell) = (back.clone(), tell.clone());
        tokio::spawn(async move {
            let _ = tell.send(ask(&mut visitor).await);
            let _ = back.send(visitor);
        });
    }
    drop(tell);
    let (mut answered, mut rejected, mut turned_away, mut waits) = (0.0_f64, 0, 0, Vec::new());
    while let Some(ending) = told.recv().await {
        match ending {
            Ending::Answered { first_word } => {
                answered += 1.0;
                waits.push(first_word);
            }
            Ending::Refused => rejected += 1,
            Ending::TurnedAway => turned_away += 1,
        }
    }
    let rate_of_answers = answered / began.elapsed().as_secs_f64();
    waits.sort();
    let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
    println!(
        "{load:<10} of the capacity, {rate:>3} questions/s: {rate_of_answers:>5.1} answers/s, first word median {:.2?}, \
         p99 {:.2?}; {rejected} refused at once, {turned_away} after waiting",
        at(50),
        at(99)
    );
    rate_of_answers
}

async fn ask(visitor: &mut ChatClient) -> Ending {
    let began = Instant::now();
    visitor.ask("What does she do?").await;
    let (mut first_word, mut accepted) = (None, false);
    loop {
        let frame = visitor.receive().await;
        match frame["type"].as_str().unwrap_or_default() {
            "accepted" => accepted = true,
            "delta" => {
                first_word.get_or_insert_with(|| began.elapsed());
            }
            "error" if !accepted => return Ending::Refused,
            "done" => match first_word {
                Some(first_word) => return Ending::Answered { first_word },
                None => return Ending::TurnedAway,
            },
            _ => {}
        }
    }
}

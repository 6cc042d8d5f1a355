//! Everybody comes back at once: `cargo bench --bench reconnect` opens 10,000 sessions that have
//! asked something, kills the server, starts it again, and has all clients connect and resume at
//! the same time, next to the same clients only connecting.

#![expect(clippy::print_stdout, reason = "printing the figures is what it is for")]
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measurement that goes wrong must end"
)]

#[allow(dead_code, reason = "the vocabulary of the tests, of which this uses a little")]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::fmt;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::client::raw_socket::RawSocket;
use support::server::config::ServerConfig;
use support::server::metrics_scrape::Scrape;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use support::upstream::script::Script;

const SESSIONS: usize = 10_000;

/// Sessions made beside each other; and handshakes and resumes under way at once, which a
/// listener's queue of 4,096 can hold.
const MADE_AT_ONCE: usize = 200;
const OPENED_AT_ONCE: usize = 4_000;

/// Deltas of each answer, and the last that every client has shown.
const WORDS: usize = 8;
const SHOWN: usize = 3;

/// Measured in turns, each time on a server that has just been killed and started.
const ROUNDS: usize = 3;

/// What a client keeps to come back with.
struct Ticket {
    resume: String,
}

#[tokio::main]
async fn main() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised far enough, opening the connections says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    measure(StoreKind::Sqlite, "SQLite").await;
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        measure(StoreKind::Postgres, "PostgreSQL").await;
    } else {
        println!("PostgreSQL: not measured, TEST_DATABASE_URL is not set");
    }
}

async fn measure(store: StoreKind, name: &str) {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::with_numbered_words(WORDS));
    let store = store.create().await;
    let config = ServerConfig::serve(&store, &upstream)
        .with("MAX_CONNECTIONS", SESSIONS)
        .with("FIRST_FRAME_TIMEOUT", "5m");
    let mut server = Server::start(config).await;
    let began = Instant::now();
    let made = stream::iter(0..SESSIONS).map(|_| converse(&server)).buffer_unordered(MADE_AT_ONCE);
    let tickets: Vec<Ticket> = made.collect().await;
    println!("{name}: {SESSIONS} sessions made and asked something in {:.1?}", began.elapsed());
    let (mut bare, mut resumed, mut writes) = (Vec::new(), Vec::new(), (0.0, 0.0));
    for _ in 0..ROUNDS {
        kill_and_start(&mut server).await;
        bare.push(all_at_once(&server, &tickets, |_| connect_only(&server)).await);
        kill_and_start(&mut server).await;
        resumed.push(all_at_once(&server, &tickets, |ticket| come_back(&server, ticket)).await);
        let scrape = Scrape::fetch(&server).await;
        writes = (scrape.value("store_writes_total"), scrape.value("store_commits_total"));
        assert_eq!(scrape.value("session_resumed_sessions_total"), 1e4, "sessions that came back");
    }
    let (bare, resumed) = (median(bare), median(resumed));
    println!("{name}: handshakes alone {bare}; all resumed with what they missed {resumed}");
    println!(
        "{name}: {:.2} times as long, {:.2} times the server's processor time; {} writes in {} commits; lost 0, doubled 0",
        resumed.took / bare.took,
        resumed.processor / bare.processor,
        writes.0,
        writes.1,
    );
}

/// Asks one question, hears the answer, and leaves.
async fn converse(server: &Server) -> Ticket {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(r#"{"type":"question","question":"What does she do?"}"#).await;
    let session = hear(&mut socket, "session").await;
    let done = hear(&mut socket, "done").await;
    assert_eq!(done["status"], "complete");
    let cursor = json!({"turn_id": done["turn_id"], "seq": SHOWN});
    let (id, token) = (&session["session_id"], &session["resume_token"]);
    let resume = json!({"type": "resume", "session_id": id, "resume_token": token, "cursor": cursor});
    Ticket { resume: resume.to_string() }
}

async fn kill_and_start(server: &mut Server) {
    server.kill().await;
    server.restart().await;
}

/// What it took till the last was through.
#[derive(Clone, Copy)]
struct Effort {
    /// Seconds.
    took: f64,
    /// Seconds of the server's processor time.
    processor: f64,
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s ({:.2} s of the server's processor time)", self.took, self.processor)
    }
}

/// Runs it for every ticket. All connections stay open till the last is through.
async fn all_at_once<'a, F>(server: &Server, tickets: &'a [Ticket], run: impl Fn(&'a Ticket) -> F) -> Effort
where
    F: Future<Output = RawSocket>,
{
    let before = Scrape::fetch(server).await.value("process_cpu_seconds_total");
    let began = Instant::now();
    let open = stream::iter(tickets).map(run).buffer_unordered(OPENED_AT_ONCE);
    let open: Vec<RawSocket> = open.collect().await;
    let took = began.elapsed().as_secs_f64();
    let processor = Scrape::fetch(server).await.value("process_cpu_seconds_total") - before;
    drop(open);
    Effort { took, processor }
}

async fn connect_only(server: &Server) -> RawSocket {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(r#"{"type":"ping"}"#).await;
    hear(&mut socket, "pong").await;
    socket
}

/// Resumes, and must hear exactly the rest of the answer, once.
async fn come_back(server: &Server, ticket: &Ticket) -> RawSocket {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(&ticket.resume).await;
    let session = hear(&mut socket, "session").await;
    assert_eq!(session["recovered"], true, "{session}");
    let mut heard = String::new();
    loop {
        let frame = next(&mut socket).await;
        match frame["type"].as_str() {
            Some("delta") => heard.push_str(frame["text"].as_str().unwrap_or_default()),
            Some("done") => break,
            _ => panic!("{frame}"),
        }
    }
    let rest: String = (SHOWN + 1..=WORDS).map(|word| format!("w{word} ")).collect();
    assert_eq!(heard, rest, "lost or doubled");
    socket
}

async fn hear(socket: &mut RawSocket, kind: &str) -> Value {
    loop {
        let frame = next(socket).await;
        if frame["type"] == kind {
            return frame;
        }
        assert!(frame["type"] != "error", "{frame}");
    }
}

async fn next(socket: &mut RawSocket) -> Value {
    let frame = socket.read_frame().await.unwrap_or_else(|| panic!("the server closed"));
    serde_json::from_slice(&frame.payload).unwrap()
}

/// The one that took neither longest nor shortest.
fn median(mut efforts: Vec<Effort>) -> Effort {
    efforts.sort_by(|one, other| one.took.total_cmp(&other.took));
    efforts[efforts.len() / 2]
}

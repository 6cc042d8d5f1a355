//! Mass reconnect: `cargo bench --bench reconnect` opens 10,000 sessions, kills and restarts the
//! server, and lets all clients resume at the same time, compared with the same clients only
//! connecting.

#![expect(clippy::print_stdout, reason = "the results are printed")]
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed measurement should end the run"
)]

mod measurement;

use std::fmt;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use measurement::statistics::median;
use measurement::{measure_on_every_store, support};
use serde_json::{Value, json};
use support::client::raw_socket::RawSocket;
use support::server::config::ServerConfig;
use support::server::metrics_scrape::Scrape;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use support::upstream::script::Script;

const SESSIONS: usize = 10_000;

/// Sessions created concurrently.
const CONCURRENT_SESSIONS: usize = 200;

/// Handshakes and resumes in progress at the same time. The queue of a listener holds 4,096.
const CONCURRENT_CONNECTIONS: usize = 4_000;

/// The number of deltas of each answer.
const WORDS: usize = 8;

/// The sequence number of the last delta that every client has displayed.
const DISPLAYED: usize = 3;

/// The number of measurements of each kind, each on a server that has just been restarted.
const ROUNDS: usize = 3;

/// What a client needs to resume its session.
struct Client {
    /// The `resume` frame.
    resume: String,
}

#[tokio::main]
async fn main() {
    support::raise_open_file_limit();
    measure_on_every_store(measure).await;
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
    let creating =
        stream::iter(0..SESSIONS).map(|_| ask_and_disconnect(&server)).buffer_unordered(CONCURRENT_SESSIONS);
    let clients: Vec<Client> = creating.collect().await;
    println!("{name}: {SESSIONS} sessions started, with one question each, in {:.1?}", began.elapsed());
    let (mut connects, mut resumes, mut writes) = (Vec::new(), Vec::new(), (0.0, 0.0));
    for _ in 0..ROUNDS {
        kill_and_start(&mut server).await;
        connects.push(run_concurrently(&server, &clients, |_| connect_only(&server)).await);
        kill_and_start(&mut server).await;
        resumes.push(run_concurrently(&server, &clients, |client| resume(&server, client)).await);
        let scrape = Scrape::fetch(&server).await;
        writes = (scrape.value("store_writes_total"), scrape.value("store_commits_total"));
        assert_eq!(scrape.value("session_resumed_sessions_total"), 1e4, "not all sessions were resumed");
    }
    let connect = median(connects, |first, second| first.duration.total_cmp(&second.duration));
    let resume = median(resumes, |first, second| first.duration.total_cmp(&second.duration));
    println!("{name}: handshakes only {connect}; resumed with the missed deltas {resume}");
    println!(
        "{name}: {:.2} times as long, {:.2} times the CPU time of the server; {} writes in {} commits; lost 0, repeated 0",
        resume.duration / connect.duration,
        resume.cpu_time / connect.cpu_time,
        writes.0,
        writes.1,
    );
}

/// Asks one question, receives the answer, and disconnects.
async fn ask_and_disconnect(server: &Server) -> Client {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(r#"{"type":"question","question":"What does she do?"}"#).await;
    let session = receive_until(&mut socket, "session").await;
    let done = receive_until(&mut socket, "done").await;
    assert_eq!(done["status"], "complete");
    let cursor = json!({"turn_id": done["turn_id"], "seq": DISPLAYED});
    let (id, token) = (&session["session_id"], &session["resume_token"]);
    let resume = json!({"type": "resume", "session_id": id, "resume_token": token, "cursor": cursor});
    Client { resume: resume.to_string() }
}

async fn kill_and_start(server: &mut Server) {
    server.kill().await;
    server.restart().await;
}

/// The cost of an operation of all clients.
#[derive(Clone, Copy)]
struct Cost {
    /// The time in seconds until the last client was done.
    duration: f64,
    /// The CPU time of the server in seconds.
    cpu_time: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s ({:.2} s CPU time of the server)", self.duration, self.cpu_time)
    }
}

/// Runs an operation for all clients concurrently. All connections stay open until the last is
/// done.
async fn run_concurrently<'a, F>(
    server: &Server,
    clients: &'a [Client],
    run: impl Fn(&'a Client) -> F,
) -> Cost
where
    F: Future<Output = RawSocket>,
{
    let before = Scrape::fetch(server).await.value("process_cpu_seconds_total");
    let began = Instant::now();
    let open = stream::iter(clients).map(run).buffer_unordered(CONCURRENT_CONNECTIONS);
    let open: Vec<RawSocket> = open.collect().await;
    let duration = began.elapsed().as_secs_f64();
    let cpu_time = Scrape::fetch(server).await.value("process_cpu_seconds_total") - before;
    drop(open);
    Cost { duration, cpu_time }
}

async fn connect_only(server: &Server) -> RawSocket {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(r#"{"type":"ping"}"#).await;
    receive_until(&mut socket, "pong").await;
    socket
}

/// Resumes the session. The reply must contain exactly the rest of the answer, once.
async fn resume(server: &Server, client: &Client) -> RawSocket {
    let mut socket = RawSocket::connect(server).await;
    socket.send_text(&client.resume).await;
    let session = receive_until(&mut socket, "session").await;
    assert_eq!(session["recovered"], true, "{session}");
    let mut received = String::new();
    loop {
        let frame = receive(&mut socket).await;
        match frame["type"].as_str() {
            Some("delta") => received.push_str(frame["text"].as_str().unwrap_or_default()),
            Some("done") => break,
            _ => panic!("{frame}"),
        }
    }
    let rest: String = (DISPLAYED + 1..=WORDS).map(|word| format!("w{word} ")).collect();
    assert_eq!(received, rest, "lost or repeated deltas");
    socket
}

async fn receive_until(socket: &mut RawSocket, kind: &str) -> Value {
    loop {
        let frame = receive(socket).await;
        if frame["type"] == kind {
            return frame;
        }
        assert!(frame["type"] != "error", "{frame}");
    }
}

async fn receive(socket: &mut RawSocket) -> Value {
    let frame = socket.read_frame().await.unwrap_or_else(|| panic!("the server closed"));
    serde_json::from_slice(&frame.payload).unwrap()
}

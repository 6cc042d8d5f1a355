//! What a session costs: `cargo bench --bench session` prints start-up time, idle memory per
//! session, and how much later than the model's server itself the first word of an answer comes.

#![expect(clippy::print_stdout, reason = "printing the figures is what it is for")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a measurement that goes wrong must end")]

#[allow(dead_code, reason = "the vocabulary of the tests, of which this uses a little")]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::client::chat_client::ChatClient;
use support::client::raw_socket::RawSocket;
use support::server::config::ServerConfig;
use support::server::test_server::Server;
use support::stores::fresh_store::StoreKind;
use support::upstream::fake_openrouter::FakeOpenRouter;
use support::upstream::script::Script;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SESSIONS: usize = 5_000;
const STARTS: usize = 9;
const FIRST_WORDS: usize = 300;

#[tokio::main]
async fn main() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised far enough, opening the sessions says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    start_up().await;
    idle_memory().await;
    first_word().await;
}

async fn start_up() {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let upstream = FakeOpenRouter::start().await;
        let store = StoreKind::Sqlite.create().await;
        let began = Instant::now();
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        times.push(began.elapsed());
        drop(server);
    }
    println!("start to ready (new SQLite file, {STARTS} runs): {}", spread(&mut times));
}

async fn idle_memory() {
    let upstream = FakeOpenRouter::start().await;
    let store = StoreKind::Sqlite.create().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    // The first sessions pay for what all of them share.
    let mut open = Vec::with_capacity(SESSIONS);
    open_sessions(&server, &mut open, 200).await;
    let before = server.resident_kib();
    let began = Instant::now();
    open_sessions(&server, &mut open, SESSIONS).await;
    let took = began.elapsed();
    let grown = server.resident_kib().saturating_sub(before);
    let bytes = grown * 1024 / u64::try_from(SESSIONS).unwrap_or(1);
    println!(
        "idle memory: {bytes} bytes per open session ({SESSIONS} sessions, opened and stored in {took:.1?})"
    );
}

async fn open_sessions(server: &Server, open: &mut Vec<RawSocket>, count: usize) {
    for _ in 0..count {
        let mut socket = RawSocket::connect(server).await;
        socket.send_text(r#"{"type":"start"}"#).await;
        let frame = socket.read_frame().await;
        assert!(frame.is_some_and(|frame| frame.payload.starts_with(br#"{"type":"session""#)), "no session");
        open.push(socket);
    }
}

async fn first_word() {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::from_words(&["One ", "two ", "three."]).every(Duration::from_millis(20)));
    let store = StoreKind::Sqlite.create().await;
    let config = ServerConfig::serve(&store, &upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 600);
    let server = Server::start(config).await;
    let mut visitor = ChatClient::connect(&server).await;
    let direct_url = upstream.base_url();
    let mut direct = Direct::connect(&direct_url).await;
    let (mut through, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..FIRST_WORDS {
        alone.push(direct.first_word().await);
        let began = Instant::now();
        visitor.ask("What does she do?").await;
        while visitor.receive().await["type"] != "delta" {}
        through.push(began.elapsed());
        visitor.receive_until("done").await;
    }
    println!("first word, the model's server alone ({FIRST_WORDS} questions): {}", spread(&mut alone));
    println!("first word, through the server:                 {}", spread(&mut through));
}

/// The least a client of the model's server can do: one kept connection, one request, the first
/// data line.
struct Direct {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Direct {
    async fn connect(base_url: &str) -> Self {
        let authority = base_url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let Ok(stream) = TcpStream::connect(authority).await else { panic!("no connection to {authority}") };
        let _ = stream.set_nodelay(true);
        let body =
            r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"What does she do?"}]}"#;
        let length = body.len();
        let head = format!(
            "POST /api/v1/chat/completions HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        Self { stream, request: [head, body.to_owned()].concat().into_bytes() }
    }

    async fn first_word(&mut self) -> Duration {
        let began = Instant::now();
        let sent = self.stream.write_all(&self.request).await;
        assert!(sent.is_ok(), "the model's server closed");
        let mut heard = Vec::new();
        let mut first = None;
        // The last chunk of a chunked body.
        while !heard.ends_with(b"0\r\n\r\n") {
            let mut bytes = [0; 4096];
            let Ok(count @ 1..) = self.stream.read(&mut bytes).await else { panic!("the stream broke off") };
            heard.extend_from_slice(bytes.get(..count).unwrap_or_default());
            if first.is_none() && heard.windows(4).any(|four| four == b"One ") {
                first = Some(began.elapsed());
            }
        }
        first.unwrap_or_default()
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let last = times.last().copied().unwrap_or_default();
    format!("median {:.2?}, p99 {:.2?}, most {last:.2?}", at(50), at(99))
}

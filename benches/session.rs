//! The cost of a session: `cargo bench --bench session` prints the start-up time, the idle memory
//! per session, and the time to the first delta, with and without the server in front of the model.

#![expect(clippy::print_stdout, reason = "the results are printed")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a failed measurement should end the run")]

mod measurement;

use std::time::{Duration, Instant};

use measurement::statistics::percentile;
use measurement::support;
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
const QUESTIONS: usize = 300;

#[tokio::main]
async fn main() {
    support::raise_open_file_limit();
    measure_start_up().await;
    measure_idle_memory().await;
    measure_first_delta().await;
}

async fn measure_start_up() {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let upstream = FakeOpenRouter::start().await;
        let store = StoreKind::Sqlite.create().await;
        let began = Instant::now();
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        times.push(began.elapsed());
        drop(server);
    }
    println!("start to ready (new SQLite file, {STARTS} runs): {}", summarize(&mut times));
}

async fn measure_idle_memory() {
    let upstream = FakeOpenRouter::start().await;
    let store = StoreKind::Sqlite.create().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    // The first sessions allocate what all sessions share.
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

async fn measure_first_delta() {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::from_words(&["One ", "two ", "three."]).every(Duration::from_millis(20)));
    let store = StoreKind::Sqlite.create().await;
    let config = ServerConfig::serve(&store, &upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 600);
    let server = Server::start(config).await;
    let mut visitor = ChatClient::connect(&server).await;
    let mut direct = DirectClient::connect(&upstream.base_url()).await;
    let (mut through_server, mut direct_times) = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS {
        direct_times.push(direct.time_to_first_delta().await);
        let began = Instant::now();
        visitor.ask("What does she do?").await;
        while visitor.receive().await["type"] != "delta" {}
        through_server.push(began.elapsed());
        visitor.receive_until("done").await;
    }
    println!("first delta, model server alone ({QUESTIONS} questions): {}", summarize(&mut direct_times));
    println!("first delta, through the server:               {}", summarize(&mut through_server));
}

/// A minimal client of the model server: one connection, one request at a time.
struct DirectClient {
    stream: TcpStream,
    request: Vec<u8>,
}

impl DirectClient {
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

    async fn time_to_first_delta(&mut self) -> Duration {
        let began = Instant::now();
        let sent = self.stream.write_all(&self.request).await;
        assert!(sent.is_ok(), "the model server closed the connection");
        let mut received = Vec::new();
        let mut first = None;
        // The last chunk of a chunked body.
        while !received.ends_with(b"0\r\n\r\n") {
            let mut bytes = [0; 4096];
            let Ok(count @ 1..) = self.stream.read(&mut bytes).await else {
                panic!("the stream ended early")
            };
            received.extend_from_slice(bytes.get(..count).unwrap_or_default());
            if first.is_none() && received.windows(4).any(|four| four == b"One ") {
                first = Some(began.elapsed());
            }
        }
        first.unwrap_or_default()
    }
}

fn summarize(times: &mut [Duration]) -> String {
    times.sort();
    let (median, p99) = (percentile(times, 50), percentile(times, 99));
    let max = times.last().copied().unwrap_or_default();
    format!("median {median:.2?}, p99 {p99:.2?}, max {max:.2?}")
}

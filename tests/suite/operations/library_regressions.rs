//! Regression tests for known problems of the libraries in use.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::stores::sql::run_on_postgres;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// The size in bytes of the answer of [`long_answer`].
const LONG_ANSWER_BYTES: usize = 120 * 110 * 18;

const SHORT_ANSWER: &str = "A small answer.";

async fn create_store(store: StoreKind, test: &str) -> Option<FreshStore> {
    store.create_for(&format!("{}::{test}", module_path!())).await
}

/// Creates an answer of about 240 KB, close to the maximum length of an answer.
fn long_answer() -> Script {
    let piece = "lorem ipsum dolor ".repeat(110);
    (0..120).fold(Script::new(), |script, _| script.words(&[&piece]))
}

/// Answers questions for "much" with a long answer, and others with a short one.
fn answer_by_question(upstream: &FakeOpenRouter) {
    upstream.answer_with(|request| {
        if request.question().contains("much") {
            long_answer()
        } else {
            Script::from_words(&[SHORT_ANSWER]).every(Duration::from_millis(50))
        }
    });
}

/// Asks questions until the server logs that it closed a slow connection. Returns the log entry and
/// the longest time to an answer.
async fn ask_until_slow_consumer_is_closed(server: &Server, visitor: &mut ChatClient) -> (Value, Duration) {
    let closed = server.wait_for_log("the closed slow connection", |line| {
        line["msg"].as_str().is_some_and(|msg| msg.contains("closed slow connections"))
    });
    let mut closed = std::pin::pin!(closed);
    let mut slowest = Duration::ZERO;
    loop {
        let asked_at = Instant::now();
        tokio::select! {
            line = &mut closed => return (line, slowest),
            answer = visitor.ask_and_wait("And you?") => assert_eq!(answer.text, SHORT_ANSWER),
        }
        slowest = slowest.max(asked_at.elapsed());
    }
}

#[tokio::test]
async fn slow_consumer_is_closed_without_delaying_others_or_losing_answers() {
    let Some(store) = create_store(StoreKind::Sqlite, "slow_consumer_is_closed").await else { return };
    let upstream = FakeOpenRouter::start().await;
    answer_by_question(&upstream);
    let config = ServerConfig::serve(&store, &upstream)
        .with("SLOW_READER_TIMEOUT", "2s")
        .with("RECONNECT_GRACE", "100ms")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    let mut server = Server::start(config).await;

    // The first session loads the tokenizer vocabulary, which is most of the memory.
    ChatClient::connect(&server).await.start().await;
    let before = server.resident_kib();
    // It reads a few bytes now and then, so TCP makes progress and only the server's own check can
    // detect it. Its questions produce more data than the system buffers hold.
    let mut slow = RawSocket::connect_with_small_buffer(&server).await;
    let ask = Frame::text(r#"{"type": "question", "question": "Say much."}"#).bytes();
    let (max_bytes, pause) = (ask.len() * 150, Duration::from_millis(100));
    let mut other = ChatClient::connect(&server).await;

    let (sent, (line, slowest)) = tokio::join!(
        slow.send_slowly(&ask, max_bytes, pause),
        ask_until_slow_consumer_is_closed(&server, &mut other),
    );

    assert!(sent < max_bytes, "the slow consumer was never closed");
    assert_eq!(line["count"], 1, "{line}");
    assert!(slowest < Duration::from_secs(1), "another visitor waited {slowest:?}");

    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");

    server.terminate().await;
    assert_eq!(server.wait_for_exit().await.code(), Some(0));

    // All answers are stored completely, although nobody read them.
    let asked = upstream.requests().iter().filter(|request| request.question().contains("much")).count();
    let whole = format!(
        "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id
         WHERE role = 'assistant' AND length(content) = {LONG_ANSWER_BYTES} AND status = 'complete'"
    );
    assert!(asked > 0);
    assert_eq!(usize::try_from(store.query_number(&whole).await).unwrap(), asked);
}

#[tokio::test]
async fn client_that_stops_reading_is_closed() {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(long_answer());
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("SLOW_READER_TIMEOUT", "2s");
    let server = Server::start(config).await;
    let mut dead = RawSocket::connect_with_small_buffer(&server).await;

    dead.send_text(r#"{"type": "question", "question": "Say much."}"#).await;
    // Either the operating system or the server detects that nothing is read.
    server.wait_for_log("the end of its session", |line| line["msg"] == "session closed").await;
}

#[tokio::test]
async fn long_answer_is_sent_in_small_frames_also_after_a_resume() {
    const VISITORS: usize = 20;
    // Small frames matter because connection buffers never shrink.
    let assert_small_frames = |answer: &Answer| {
        assert!(answer.deltas.len() > 10, "{} frames", answer.deltas.len());
        let largest = answer.deltas.iter().map(|delta| delta["text"].as_str().map_or(0, str::len)).max();
        assert!(largest.is_some_and(|bytes| bytes <= 16 * 1024), "{largest:?} bytes in one frame");
    };
    let upstream = FakeOpenRouter::start().await;
    answer_by_question(&upstream);
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let server = Server::start(config).await;

    let visit = async || {
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        let answer = visitor.ask_and_wait("Say much.").await;
        assert_eq!(answer.text.len(), LONG_ANSWER_BYTES);
        assert_small_frames(&answer);
        visitor.drop_abruptly();
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, cursor_at(&answer.deltas[0])).await;
        assert_eq!(resumed.frame["recovered"], true);
        let again = visitor.receive_rest().await;
        assert!(answer.text.ends_with(&again.text) && again.text.len() > LONG_ANSWER_BYTES / 2);
        assert_small_frames(&again);
        visitor
    };
    drop(visit().await);
    let before = server.resident_kib();
    let visitors = join_all((0..VISITORS).map(|_| visit())).await;
    let grown = server.resident_kib().saturating_sub(before);
    // Three copies: in the answer log, in the session history, and in the write queue.
    let each = grown / u64::try_from(VISITORS).unwrap();

    assert!(each < 3 * 1024, "{each} KiB for each visitor");

    drop(visitors);
}

#[tokio::test]
async fn deltas_are_not_delayed_by_tcp_acknowledgements() {
    const PACE: Duration = Duration::from_millis(10);
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::from_words(&["one ", "two ", "three"]).every(PACE));
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    let server = Server::start(config).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let mut delays = Vec::new();
    // The operating system of a client that sends soon after receiving delays ACKs by 40 ms.
    for _ in 0..30 {
        visitor.ask("Count.").await;
        visitor.expect_frame("accepted").await;
        let mut before = Instant::now();
        while visitor.receive().await["type"] == "delta" {
            delays.push(before.elapsed().saturating_sub(PACE));
            before = Instant::now();
        }
    }

    delays.sort_unstable();
    // Nagle's algorithm would delay every third delta. A busy machine delays some anyway.
    let p80 = delays[delays.len() * 80 / 100];

    assert!(p80 < Duration::from_millis(15), "p80 of the delay is {p80:?}: {delays:?}");
}

#[tokio::test]
async fn postgresql_connections_survive_concurrent_reads_and_terminations() {
    let Some(store) = create_store(StoreKind::Postgres, "postgresql_connections_survive").await else {
        return;
    };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;

    let visit = async || {
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask_and_wait("Where?").await;
        visitor
    };
    let mut visitors = join_all((0..20).map(|_| visit())).await;

    for _ in 0..20 {
        // Concurrent reads need many connections. They must succeed although all connections were
        // just terminated.
        let read = async |visitor: &mut ChatClient| {
            visitor.send(json!({"type": "history"})).await;
            visitor.expect_frame("history").await["messages"].as_array().map_or(0, Vec::len)
        };
        let read = join_all(visitors.iter_mut().map(read)).await;
        assert_eq!(read, [2; 20]);
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'resume-chatbot' AND datname = current_database()";
        let ended = run_on_postgres(store.url(), terminate).await;
        assert!((1..=8).contains(&ended.len()), "{ended:?}");
    }

    assert_eq!(visitors[0].ask_and_wait("And now?").await.done["durable"], true);
}

#[tokio::test]
async fn client_without_pongs_is_closed() {
    let server = Server::start(ServerConfig::demo().with("HEARTBEAT_INTERVAL", "200ms")).await;
    let mut silent = RawSocket::connect(&server).await;
    let mut alive = ChatClient::connect(&server).await;

    let since = Instant::now();
    let closed = async {
        let close = silent.read_close().await;
        (close, since.elapsed())
    };
    // The other client reads, so it answers pings and stays connected.
    let (answer, (close, after)) = tokio::join!(alive.ask_and_wait("What did she do at Halden Pay?"), closed);

    assert_eq!(close, Some(4408));
    assert!(after >= Duration::from_millis(280), "{after:?}");
    assert_eq!(answer.status(), "complete");
}

#[tokio::test]
async fn idle_visitor_is_closed_and_active_visitors_stay() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("HEARTBEAT_INTERVAL", "1s")
        .with("IDLE_TIMEOUT", "3s");
    let server = Server::start(config).await;
    let mut busy = ChatClient::connect(&server).await;
    let mut waiting = ChatClient::connect(&server).await;
    upstream.queue(Script::from_words(&["At ", "last."]).hold_after(1, &gate));

    waiting.ask("A hard question?").await;
    gate.wait_until_reached().await;
    let mut idle = ChatClient::connect(&server).await;
    upstream.always(Script::with_numbered_words(10).every(Duration::from_millis(20)));
    let active = async {
        for _ in 0..8 {
            assert_eq!(busy.ask_and_wait("And then?").await.status(), "complete");
        }
    };
    let wait_for_answer = async {
        let frames = waiting.receive_until("done").await;
        frames.last().map(|done: &Value| done["status"].clone())
    };
    let wait_for_idle_close = async {
        let close = idle.wait_for_close().await;
        gate.open();
        close
    };
    let ((), status, close) = tokio::join!(active, wait_for_answer, wait_for_idle_close);

    assert_eq!((close, status), (4408, Some(json!("complete"))));

    // A client that only sends pings is idle, too.
    let mut pinging = ChatClient::connect_with(&server, &Handshake::new()).await.unwrap();
    pinging.send(json!({"type": "ping"})).await;
    assert_eq!(pinging.wait_for_close().await, 4408);
}

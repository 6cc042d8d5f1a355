//! Clients that read slowly or not at all: they lose nothing, cost little, and are closed in the
//! end.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get_url;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

const SHORT_ANSWER: &str = "A small answer.";
const LONG_QUESTION: &str = r#"{"type": "question", "question": "Say much."}"#;

/// The deadline for operations on many connections on a shared machine.
const LONG: Duration = Duration::from_secs(90);

/// Creates an answer in which all words differ, so that a lost, repeated or moved word is noticed.
fn answer_with_unique_words(pieces: usize) -> (Script, String) {
    let pieces: Vec<String> = (0..pieces)
        .map(|piece| (0..180).map(|word| format!("{} ", piece * 1_000 + word)).collect())
        .collect();
    let script = pieces.iter().fold(Script::new(), |script, piece| script.words(&[piece]));
    (script, pieces.concat())
}

/// Answers questions for "much" with `long_answer`, and others with a short one.
fn answer_by_question(upstream: &FakeOpenRouter, long_answer: Script) {
    upstream.answer_with(move |request| {
        if request.question().contains("much") {
            long_answer.clone()
        } else {
            Script::from_words(&[SHORT_ANSWER])
        }
    });
}

async fn metric(server: &Server, name: &str) -> u64 {
    let scrape = get_url(server.operator_url("/metrics").await).await;
    let line = scrape.body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let value = line.and_then(|value| value.trim_end_matches(".0").parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {}", scrape.body))
}

/// Polls until the value of a metric satisfies `condition`.
async fn wait_for_metric(server: &Server, name: &str, condition: impl Fn(u64) -> bool) -> u64 {
    let since = Instant::now();
    loop {
        let value = metric(server, name).await;
        if condition(value) {
            return value;
        }
        assert!(since.elapsed() < LONG, "{name} is still {value}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn start_server(upstream: &FakeOpenRouter, settings: &[(&str, &str)]) -> Server {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    Server::start(settings.iter().fold(config, |config, (name, value)| config.with(name, value))).await
}

#[tokio::test]
async fn client_that_pauses_reading_receives_every_word_once_in_order() {
    let upstream = FakeOpenRouter::start().await;

    let (script, whole) = answer_with_unique_words(200);
    answer_by_question(&upstream, script);
    let server = start_server(&upstream, &[("HEARTBEAT_INTERVAL", "1s")]).await;
    let handshake = Handshake::new().receive_buffer(4 * 1024);
    let mut reader = RawSocket::connect_to(server.address(), &handshake).await;
    reader.send_text(LONG_QUESTION).await;
    // The answer is complete and several heartbeats pass before the client reads a byte.
    server.wait_for_log("the end of the turn", |line| line["msg"] == "turn ended").await;
    tokio::time::sleep(Duration::from_secs(4)).await;

    assert_eq!(metric(&server, "resume_chatbot_session_open_connections").await, 1);

    let (mut text, mut seqs) = (String::new(), vec![0]);
    loop {
        let Some(frame) = reader.read_frame().await else { break };
        let Ok(frame) = serde_json::from_slice::<Value>(&frame.payload) else { continue };
        match frame["type"].as_str() {
            Some("delta") => {
                text += frame["text"].as_str().unwrap_or_default();
                seqs.extend(frame["seq"].as_u64());
            }
            Some("done") => break,
            _ => {}
        }
    }

    assert!(text == whole, "{} bytes instead of {}", text.len(), whole.len());
    assert!(seqs.is_sorted_by(|previous, next| previous < next), "{seqs:?}");
}

#[tokio::test]
async fn client_that_stops_reading_is_reset() {
    let upstream = FakeOpenRouter::start().await;

    let (script, _) = answer_with_unique_words(200);
    answer_by_question(&upstream, script);
    let server = start_server(&upstream, &[("SLOW_READER_TIMEOUT", "1s")]).await;
    let mut reader = RawSocket::connect_with_small_buffer(&server).await;
    reader.send_text(LONG_QUESTION).await;

    // Only a reset reaches the client; a close frame would wait in its receive buffer.
    assert_eq!(reader.wait_until_broken().await.kind(), ErrorKind::ConnectionReset);

    wait_for_metric(&server, "resume_chatbot_session_open_connections", |open| open == 0).await;
    assert_eq!(metric(&server, "resume_chatbot_session_slow_readers_total").await, 1);
}

#[tokio::test]
async fn client_that_never_catches_up_is_closed_and_resumes_without_loss() {
    let upstream = FakeOpenRouter::start().await;

    let (script, whole) = answer_with_unique_words(200);
    answer_by_question(&upstream, script);
    let server =
        start_server(&upstream, &[("SLOW_READER_TIMEOUT", "1s"), ("HEARTBEAT_INTERVAL", "1s")]).await;
    let handshake = Handshake::new().receive_buffer(4 * 1024);
    let mut slow = RawSocket::connect_to(server.address(), &handshake).await;
    slow.send_text(r#"{"type": "start"}"#).await;
    let session = slow.read_frame().await.map(|frame| frame.payload).unwrap_or_default();
    let session: Value = serde_json::from_slice(&session).unwrap();
    // It asks again as soon as it may, so that more data arrives than it reads.
    let ask = Frame::text(LONG_QUESTION).bytes();

    assert_eq!(slow.read_slowly_until_close(&ask, 3_000, Duration::from_millis(50)).await, Some(4413));

    wait_for_metric(&server, "resume_chatbot_session_open_connections", |open| open == 0).await;
    assert_eq!(metric(&server, "resume_chatbot_session_slow_readers_total").await, 1);

    let mut back = ChatClient::connect(&server).await;
    let info = crate::support::client::answer::SessionInfo::from_frame(session);
    let resumed = back.resume(&info, Value::Null).await;
    let history = resumed.frame["history"].as_array().cloned().unwrap_or_default();
    let answer = history.iter().find(|message| message["role"] == "assistant").cloned().unwrap_or_default();

    assert!(answer["content"] == json!(whole), "the answer is incomplete");
}

/// Asks this many questions, and returns the median time to the first delta.
async fn median_first_delta(visitor: &mut ChatClient, questions: usize) -> Duration {
    let mut latencies = Vec::new();
    for _ in 0..questions {
        let asked_at = Instant::now();
        visitor.ask("And you?").await;
        visitor.receive_until("delta").await;
        latencies.push(asked_at.elapsed());
        visitor.receive_until("done").await;
    }
    latencies.sort_unstable();
    latencies[questions / 2]
}

/// Starts a session and sends pings without reading the pongs. These exceed all buffers on the way,
/// so the socket blocks and the session waits. A long answer would have the same effect but use
/// memory for its log.
async fn connect_and_stop_reading(server: &Server) -> RawSocket {
    let ping = Frame::text(json!({"type": "ping", "id": "x".repeat(64)}).to_string()).bytes();
    let frames = [Frame::text(r#"{"type": "start"}"#).bytes(), ping.repeat(900)].concat();
    let mut socket = RawSocket::connect_with_small_buffer(server).await;
    socket.send_bytes(&frames).await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_stopped_clients_use_bounded_memory_and_delay_nobody() {
    const STOPPED_CLIENTS: u64 = 1_000;
    const MAX_KIB_EACH: u64 = 256;
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::from_words(&[SHORT_ANSWER]));
    let settings =
        [("SLOW_READER_TIMEOUT", "30s"), ("FIRST_FRAME_TIMEOUT", "5m"), ("HEARTBEAT_INTERVAL", "5m")];
    let server = start_server(&upstream, &settings).await;
    let mut healthy = ChatClient::connect(&server).await;
    median_first_delta(&mut healthy, 10).await;
    let alone = median_first_delta(&mut healthy, 40).await;
    let descriptors = metric(&server, "resume_chatbot_process_open_fds").await;
    let before = server.resident_kib();

    let mut stopped = Vec::new();
    for _ in 0..STOPPED_CLIENTS / 50 {
        stopped.extend(join_all((0..50).map(|_| connect_and_stop_reading(&server))).await);
    }
    wait_for_metric(&server, "resume_chatbot_session_open_sessions", |open| open == STOPPED_CLIENTS + 1)
        .await;
    let beside = median_first_delta(&mut healthy, 40).await;
    let each = server.resident_kib().saturating_sub(before) / STOPPED_CLIENTS;

    // None of them has been closed yet.
    assert_eq!(metric(&server, "resume_chatbot_session_open_connections").await, STOPPED_CLIENTS + 1);
    assert!(
        beside < alone * 3 + Duration::from_millis(50),
        "latency {alone:?} without and {beside:?} with stopped clients"
    );
    assert!(each < MAX_KIB_EACH, "{each} KiB each");

    wait_for_metric(&server, "resume_chatbot_session_open_connections", |open| open == 1).await;
    wait_for_metric(&server, "resume_chatbot_session_open_sessions", |open| open == 1).await;
    wait_for_metric(&server, "resume_chatbot_process_open_fds", |open| open <= descriptors + 8).await;
    drop(stopped);
}

//! Clients that read slowly or stop: what they keep, what they cost, and what is left of them afterwards.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::handshake::Handshake;
use crate::support::http::get_url;
use crate::support::raw_socket::{Frame, RawSocket};
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

const SMALL: &str = "A small answer.";
const ASK_FOR_MUCH: &str = r#"{"type": "question", "question": "Say much."}"#;

/// How long many things together may take on a shared builder.
const LONG: Duration = Duration::from_secs(90);

/// A text in which every word is another, so that none can be lost, doubled or moved without being missed.
fn numbered(pieces: usize) -> (Script, String) {
    let pieces: Vec<String> = (0..pieces)
        .map(|piece| (0..180).map(|word| format!("{} ", piece * 1_000 + word)).collect())
        .collect();
    let script = pieces.iter().fold(Script::new(), |script, piece| script.words(&[piece]));
    (script, pieces.concat())
}

/// Answers with `much` whoever asks for much, shortly everybody else.
fn much_or_little(upstream: &FakeOpenRouter, much: Script) {
    upstream.answer_with(move |request| {
        if request.question().contains("much") { much.clone() } else { Script::of(&[SMALL]) }
    });
}

async fn metric(server: &Server, name: &str) -> u64 {
    let scrape = get_url(server.operator_url("/metrics").await).await;
    let line = scrape.body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let value = line.and_then(|value| value.trim_end_matches(".0").parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {}", scrape.body))
}

/// Waits for a metric to be as wanted. Nobody is told of its changes, so it is asked for again and again.
async fn until(server: &Server, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
    let since = Instant::now();
    loop {
        let value = metric(server, name).await;
        if wanted(value) {
            return value;
        }
        assert!(since.elapsed() < LONG, "{name} is still {value}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn serve(upstream: &FakeOpenRouter, settings: &[(&str, &str)]) -> Server {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    Server::start(settings.iter().fold(config, |config, (name, value)| config.with(name, value))).await
}

#[tokio::test]
async fn a_reader_that_pauses_in_time_gets_every_word_once_and_in_order() {
    let upstream = FakeOpenRouter::start().await;
    let (script, whole) = numbered(200);
    much_or_little(&upstream, script);
    let server = serve(&upstream, &[("HEARTBEAT_INTERVAL", "1s")]).await;
    let handshake = Handshake::new().receive_buffer(4 * 1024);
    let mut reader = RawSocket::connect_to(server.address(), &handshake).await;
    reader.send_text(ASK_FOR_MUCH).await;
    // All of it is there, several heartbeats have passed, and nobody has read a byte.
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
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[tokio::test]
async fn a_reader_that_has_stopped_is_cut_with_a_reset_that_reaches_it() {
    let upstream = FakeOpenRouter::start().await;
    let (script, _) = numbered(200);
    much_or_little(&upstream, script);
    let server = serve(&upstream, &[("SLOW_READER_TIMEOUT", "1s")]).await;
    let mut reader = RawSocket::connect_with_a_small_buffer(&server).await;
    reader.send_text(ASK_FOR_MUCH).await;
    // Whatever is sent in order would wait for it to read.
    assert_eq!(reader.broken().await.kind(), ErrorKind::ConnectionReset);
    until(&server, "resume_chatbot_session_open_connections", |open| open == 0).await;
    assert_eq!(metric(&server, "resume_chatbot_session_slow_consumer_closes_total").await, 1);
}

#[tokio::test]
async fn a_reader_that_never_catches_up_is_told_so_and_comes_back_without_loss() {
    let upstream = FakeOpenRouter::start().await;
    let (script, whole) = numbered(200);
    much_or_little(&upstream, script);
    let server = serve(&upstream, &[("SLOW_READER_TIMEOUT", "1s"), ("HEARTBEAT_INTERVAL", "1s")]).await;
    let handshake = Handshake::new().receive_buffer(4 * 1024);
    let mut slow = RawSocket::connect_to(server.address(), &handshake).await;
    slow.send_text(r#"{"type": "start"}"#).await;
    let session = slow.read_frame().await.map(|frame| frame.payload).unwrap_or_default();
    let session: Value = serde_json::from_slice(&session).unwrap();
    // It asks for more as soon as it may, so there is always more than it reads.
    let ask = Frame::text(ASK_FOR_MUCH).bytes();
    assert_eq!(slow.sip_to_the_close(&ask, 3_000, Duration::from_millis(50)).await, Some(4413));
    until(&server, "resume_chatbot_session_open_connections", |open| open == 0).await;
    assert_eq!(metric(&server, "resume_chatbot_session_slow_consumer_closes_total").await, 1);
    let mut back = ChatClient::connect(&server).await;
    let info = crate::support::answer::SessionInfo::of(session);
    let resumed = back.resume(&info, Value::Null).await;
    let history = resumed.frame["history"].as_array().cloned().unwrap_or_default();
    let told = history.iter().find(|message| message["role"] == "assistant").cloned().unwrap_or_default();
    assert!(told["content"] == json!(whole), "the answer is not all there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_stopped_readers_cost_a_bounded_amount_and_nobody_elses_time_and_leave_nothing_behind() {
    const STOPPED: u64 = 1_000;
    const KIB_EACH: u64 = 256;
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::of(&[SMALL]));
    let settings =
        [("SLOW_READER_TIMEOUT", "30s"), ("FIRST_FRAME_TIMEOUT", "5m"), ("HEARTBEAT_INTERVAL", "5m")];
    let server = serve(&upstream, &settings).await;
    let mut healthy = ChatClient::connect(&server).await;
    let mut first_words = async |times: usize| {
        let mut took = Vec::new();
        for _ in 0..times {
            let asked = Instant::now();
            healthy.ask("And you?").await;
            healthy.hear_until("delta").await;
            took.push(asked.elapsed());
            healthy.hear_until("done").await;
        }
        took.sort_unstable();
        took[times / 2]
    };
    first_words(10).await;
    let alone = first_words(40).await;
    let descriptors = metric(&server, "resume_chatbot_process_open_fds").await;
    let before = server.resident_kib();

    // More pongs than the buffers on the way hold: the socket takes no more, and the session stands still. An answer would
    // do the same, and costs besides what its log holds.
    let ping = Frame::text(json!({"type": "ping", "id": "x".repeat(64)}).to_string()).bytes();
    let much = [Frame::text(r#"{"type": "start"}"#).bytes(), ping.repeat(900)].concat();
    let stop = async |_| {
        let handshake = Handshake::new().receive_buffer(1);
        let mut socket = RawSocket::connect_to(server.address(), &handshake).await;
        socket.send_bytes(&much).await;
        socket
    };
    let mut stopped = Vec::new();
    for _ in 0..STOPPED / 50 {
        stopped.extend(join_all((0..50).map(stop)).await);
    }
    until(&server, "resume_chatbot_session_open_sessions", |open| open == STOPPED + 1).await;
    let beside = first_words(40).await;
    let each = server.resident_kib().saturating_sub(before) / STOPPED;
    // None of them was let go meanwhile.
    assert_eq!(metric(&server, "resume_chatbot_session_open_connections").await, STOPPED + 1);
    assert!(beside < alone * 3 + Duration::from_millis(50), "{alone:?} alone, {beside:?} beside them");
    assert!(each < KIB_EACH, "{each} KiB each");

    until(&server, "resume_chatbot_session_open_connections", |open| open == 1).await;
    until(&server, "resume_chatbot_session_open_sessions", |open| open == 1).await;
    until(&server, "resume_chatbot_process_open_fds", |open| open <= descriptors + 8).await;
    drop(stopped);
}

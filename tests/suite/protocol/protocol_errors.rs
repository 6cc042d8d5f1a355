//! Protocol violations by clients: which are answered with an error, which close the connection,
//! and that they are cheap.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::raw_socket::{Frame, RawSocket, ServerFrame};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// The maximum size of a message in bytes.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Creates a `ping` message of this many bytes.
fn ping_with_size(bytes: usize) -> String {
    let empty = r#"{"type":"ping","padding":""}"#;
    format!(r#"{{"type":"ping","padding":"{}"}}"#, "x".repeat(bytes - empty.len()))
}

fn parse_payload(frame: Option<ServerFrame>) -> Value {
    let payload = frame.map(|frame| frame.payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

const MALFORMED_MESSAGES: [&str; 28] = [
    "",
    "hello",
    "{",
    "[]",
    "null",
    "7",
    r#""ping""#,
    "{}",
    r#"{"type":null}"#,
    r#"{"type":7}"#,
    r#"{"type":"dance"}"#,
    r#"{"type":"Ping"}"#,
    r#"{"type":"question"}"#,
    r#"{"type":"question","question":7}"#,
    r#"{"type":"question","question":["a"]}"#,
    r#"{"type":"question","question":"a","id":7}"#,
    r#"{"type":"question","question":"a","id":""}"#,
    r#"{"type":"question","question":"a","question":"b"}"#,
    r#"{"type":"question","question":"\ud800"}"#,
    "{\"type\":\"question\",\"question\":\"a\u{0}\"}",
    r#"{"type":"resume"}"#,
    r#"{"type":"resume","session_id":"nobody","resume_token":"none"}"#,
    r#"{"type":"cancel","turn_id":"none"}"#,
    r#"{"type":"history","limit":0}"#,
    r#"{"type":"history","limit":101}"#,
    r#"{"type":"history","limit":-1}"#,
    r#"{"type":"history","limit":1e99}"#,
    r#"{"type":"history","before":7}"#,
];

#[tokio::test]
async fn malformed_message_is_answered_with_an_error() {
    let mut chat = Chat::new(&[]).await;
    let too_long_id = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(65));
    let deeply_nested = format!(r#"{{"type":"ping","x":{}"#, "[".repeat(10_000));
    let deeply_nested_and_complete =
        format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(8_000), "]".repeat(8_000));
    let generated = [too_long_id.as_str(), &deeply_nested, &deeply_nested_and_complete];

    for text in MALFORMED_MESSAGES.into_iter().chain(generated) {
        chat.visitor.send_text(text).await;
        let error = chat.visitor.expect_error("VALIDATION_ERROR").await;
        assert_eq!(error["retryable"], false, "{text}");
        chat.visitor.expect_no_more_frames().await;
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let mut chat = Chat::new(&[]).await;

    chat.visitor
        .send(json!({"type": "question", "question": "Who?", "colour": "blue", "v": [{"x": null}]}))
        .await;
    assert_eq!(chat.visitor.receive_answer().await.status(), "complete");
}

#[tokio::test]
async fn ten_consecutive_malformed_messages_close_the_connection() {
    let mut chat = Chat::new(&[]).await;
    for round in 0..2 {
        for _ in 0..9 {
            chat.visitor.send_text("nonsense").await;
            chat.visitor.expect_error("VALIDATION_ERROR").await;
        }
        if round == 0 {
            chat.visitor.expect_no_more_frames().await;
        }
    }

    chat.visitor.send_text("nonsense").await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;
    assert_eq!(chat.visitor.wait_for_close().await, 4400);
}

/// Returns frame sequences that violate the protocol, with the expected close codes.
fn protocol_violations() -> Vec<(&'static str, Vec<Frame>, u16)> {
    let big = ping_with_size(MAX_MESSAGE_BYTES + 1);
    let half = vec![b'x'; MAX_MESSAGE_BYTES / 2 + 1];
    vec![
        ("a binary message", vec![Frame::new(2, *b"hello")], 1003),
        ("a fragmented binary message", vec![Frame::new(2, *b"hel").unfinished()], 1003),
        ("text that is not UTF-8", vec![Frame::text(*b"{\"type\xff")], 1007),
        (
            "fragments that are not UTF-8",
            vec![Frame::text(*b"caf\xc3").unfinished(), Frame::continuation(*b"x")],
            1007,
        ),
        ("a text cut within a character", vec![Frame::text(*b"caf\xc3")], 1007),
        ("a message too large", vec![Frame::text(big)], 1009),
        (
            "fragments too large together",
            vec![Frame::text(half.clone()).unfinished(), Frame::continuation(half)],
            1009,
        ),
        ("a frame without a mask", vec![Frame::text(*b"{}").unmasked()], 1002),
        ("a reserved bit", vec![Frame::text(*b"{}").with_reserved_bits(0b100)], 1002),
        ("every reserved bit", vec![Frame::text(*b"{}").with_reserved_bits(0b111)], 1002),
        ("a continuation of nothing", vec![Frame::continuation(*b"{}")], 1002),
        ("an unfinished continuation of nothing", vec![Frame::continuation(*b"{}").unfinished()], 1002),
        ("text within a fragmented text", vec![Frame::text(*b"{").unfinished(), Frame::text(*b"{}")], 1002),
        ("an unknown opcode", vec![Frame::new(3, *b"{}")], 1002),
        ("an unknown control opcode", vec![Frame::new(11, *b"")], 1002),
        ("a fragmented ping", vec![Frame::new(9, *b"x").unfinished()], 1002),
        ("a ping too large", vec![Frame::new(9, [b'x'; 126])], 1002),
    ]
}

#[tokio::test]
async fn protocol_violations_close_the_connection_and_leave_the_server_idle() {
    let chat = Chat::new(&[]).await;
    let mut open = Vec::new();

    for (what, frames, code) in protocol_violations() {
        let mut socket = RawSocket::connect(&chat.server).await;
        for frame in &frames {
            socket.send(frame).await;
        }
        assert_eq!(socket.read_close().await, Some(code), "{what}");
        open.push(socket);
    }

    // The clients do not answer the close frame; the server ends the connections anyway.
    let ended = join_all(open.iter_mut().map(RawSocket::read_until_end)).await;
    assert!(ended.iter().all(|frames| *frames == 0), "frames after the close: {ended:?}");

    // A handler that loops after an error would use a whole core. Idling has no event to wait for.
    let before = chat.server.cpu_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used = chat.server.cpu_ticks() - before;

    assert!(used < 10, "{used} CPU ticks in half a second without traffic");
}

#[tokio::test]
async fn oversized_frame_is_rejected_by_its_header() {
    let mut chat = Chat::new(&[]).await;
    let header = Frame::text(*b"").with_declared_length(8 << 30).bytes();

    let mut patient = RawSocket::connect(&chat.server).await;
    patient.send_bytes(&header).await;
    assert_eq!(patient.read_close().await, Some(1009));

    patient.read_until_end().await;

    // The first session loads the tokenizer vocabulary, which is most of the memory.
    chat.visitor.start().await;
    let before = chat.server.resident_kib();
    let mut hasty = RawSocket::connect(&chat.server).await;
    hasty.send_bytes(&header).await;
    let total = 64 * 1024 * 1024;
    let sent = hasty.send_slowly(&[b'x'; 64 * 1024], total, Duration::from_millis(1)).await;

    assert!(sent < total, "the server took all of it");

    let grown = chat.server.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
}

#[tokio::test]
async fn message_may_be_fragmented_even_within_a_character() {
    let mut chat = Chat::new(&[]).await;
    let mut socket = RawSocket::connect(&chat.server).await;
    let question = r#"{"type":"question","question":"Où est-elle née 🦀?"}"#.as_bytes();

    let (first, rest) = question.split_at(1);
    socket.send(&Frame::text(first).unfinished()).await;
    for byte in rest {
        socket.send(&Frame::continuation([*byte]).unfinished()).await;
    }
    socket.send(&Frame::new(9, *b"between")).await;
    socket.send(&Frame::continuation(*b"")).await;
    let pong = socket.read_frame().await;

    assert_eq!(pong.map(|frame| (frame.opcode, frame.payload)), Some((10, b"between".to_vec())));
    assert_eq!(parse_payload(socket.read_frame().await)["type"], "session");
    assert_eq!(chat.upstream.next_request().await.question(), "Où est-elle née 🦀?");

    chat.visitor.send_text(&ping_with_size(MAX_MESSAGE_BYTES)).await;
    chat.visitor.expect_frame("pong").await;

    socket.read_frame().await;
}

#[tokio::test]
async fn ping_and_close_frames_are_echoed() {
    let chat = Chat::new(&[]).await;
    let mut socket = RawSocket::connect(&chat.server).await;

    socket.send(&Frame::new(9, [7; 125])).await;
    let pong = socket.read_frame().await;
    assert_eq!(pong.map(|frame| (frame.opcode, frame.payload)), Some((10, vec![7; 125])));

    socket.send(&Frame::new(10, *b"unasked")).await;
    socket.send(&Frame::close(1000)).await;
    assert_eq!(socket.read_close().await, Some(1000));
    assert_eq!(socket.read_until_end().await, 0);
}

#[tokio::test]
async fn question_length_is_checked_after_cleaning() {
    let mut chat = Chat::new(&[]).await;
    for blank in ["", "  \n\t ", "\u{0}\u{7}"] {
        chat.visitor.ask(blank).await;
        chat.visitor.expect_error("VALIDATION_ERROR").await;
    }

    chat.visitor.ask_with_id("too-long", &"é".repeat(2_001)).await;
    let error = chat.visitor.expect_error("MESSAGE_TOO_LONG").await;
    let message = error["message"].as_str().unwrap_or_default();

    assert!(message.contains("2001") && message.contains("2000"), "{message}");
    assert_eq!(error["id"], "too-long");

    chat.visitor.ask(&format!("  {}\u{0} ", "é".repeat(2_000))).await;
    assert_eq!(chat.visitor.receive_answer().await.status(), "complete");
    assert_eq!(chat.upstream.next_request().await.question(), "é".repeat(2_000));

    chat.visitor.ask("Nul\u{0}l\u{0}").await;
    assert_eq!(chat.visitor.receive_answer().await.status(), "complete");
    assert_eq!(chat.upstream.next_request().await.question(), "Null");
}

#[tokio::test]
async fn id_may_have_64_characters() {
    let mut chat = Chat::new(&[]).await;
    let id = "é".repeat(64);

    chat.visitor.ask_with_id(&id, "Who?").await;
    assert_eq!(chat.visitor.receive_answer().await.accepted["id"], id.as_str());

    chat.visitor.ask_with_id(&format!("{id}e"), "Who?").await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;
}

#[tokio::test]
async fn frames_out_of_order_are_rejected() {
    let mut chat = Chat::new(&[]).await;

    chat.visitor.send(json!({"type": "history"})).await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;

    chat.visitor.send(json!({"type": "cancel"})).await;
    chat.visitor.expect_error("NO_SUCH_TURN").await;

    let session = chat.visitor.start().await;
    chat.visitor.send(json!({"type": "start"})).await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;

    chat.visitor.send_resume(&session, json!(null)).await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;

    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

    chat.visitor.ask("Count, please.").await;
    gate.wait_until_reached().await;
    chat.visitor.ask_with_id("hasty", "And now?").await;
    let rejected = chat.visitor.receive_until("error").await.pop().unwrap_or_default();

    assert_eq!(rejected["code"], "TURN_IN_PROGRESS");
    assert_eq!((&rejected["retryable"], &rejected["id"]), (&json!(true), &json!("hasty")));

    gate.open();
    chat.visitor.receive_until("done").await;
    assert_eq!(chat.upstream.requests().len(), 1);
}

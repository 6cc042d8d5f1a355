//! Clients that break the rules: what is answered, what closes the connection, and that neither costs the server much.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::raw_socket::{Frame, RawSocket, ServerFrame};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// The most bytes a message may have.
const MAX_MESSAGE: usize = 16 * 1024;

/// A `ping` of so many bytes.
fn ping_of(bytes: usize) -> String {
    let empty = r#"{"type":"ping","padding":""}"#;
    format!(r#"{{"type":"ping","padding":"{}"}}"#, "x".repeat(bytes - empty.len()))
}

fn json_of(frame: Option<ServerFrame>) -> Value {
    let payload = frame.map(|frame| frame.payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

#[tokio::test]
async fn every_malformed_message_is_answered_and_the_connection_stays() {
    let mut chat = Chat::with(&[]).await;
    let deep = format!(r#"{{"type":"ping","x":{}"#, "[".repeat(10_000));
    let deep_and_whole = format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(8_000), "]".repeat(8_000));
    for text in [
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
        &format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(65)),
        &deep,
        &deep_and_whole,
    ] {
        chat.visitor.say_text(text).await;
        let error = chat.visitor.hear_error("VALIDATION_ERROR").await;
        assert_eq!(error["retryable"], false, "{text}");
        chat.visitor.hear_nothing_more().await;
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let mut chat = Chat::with(&[]).await;
    chat.visitor
        .say(json!({"type": "question", "question": "Who?", "colour": "blue", "v": [{"x": null}]}))
        .await;
    assert_eq!(chat.visitor.answer().await.status(), "complete");
}

#[tokio::test]
async fn ten_malformed_messages_in_a_row_close_the_connection_and_nine_do_not() {
    let mut chat = Chat::with(&[]).await;
    for round in 0..2 {
        for _ in 0..9 {
            chat.visitor.say_text("nonsense").await;
            chat.visitor.hear_error("VALIDATION_ERROR").await;
        }
        if round == 0 {
            chat.visitor.hear_nothing_more().await;
        }
    }
    chat.visitor.say_text("nonsense").await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
    assert_eq!(chat.visitor.hear_close().await, 4400);
}

#[tokio::test]
async fn what_no_client_may_send_closes_the_connection_at_once_and_leaves_the_server_idle() {
    let chat = Chat::with(&[]).await;
    let big = ping_of(MAX_MESSAGE + 1);
    let half = vec![b'x'; MAX_MESSAGE / 2 + 1];
    let broken: Vec<(&str, Vec<Frame>, u16)> = vec![
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
        ("a reserved bit", vec![Frame::text(*b"{}").reserved(0b100)], 1002),
        ("every reserved bit", vec![Frame::text(*b"{}").reserved(0b111)], 1002),
        ("a continuation of nothing", vec![Frame::continuation(*b"{}")], 1002),
        ("an unfinished continuation of nothing", vec![Frame::continuation(*b"{}").unfinished()], 1002),
        ("text within a fragmented text", vec![Frame::text(*b"{").unfinished(), Frame::text(*b"{}")], 1002),
        ("an unknown opcode", vec![Frame::new(3, *b"{}")], 1002),
        ("an unknown control opcode", vec![Frame::new(11, *b"")], 1002),
        ("a fragmented ping", vec![Frame::new(9, *b"x").unfinished()], 1002),
        ("a ping too large", vec![Frame::new(9, [b'x'; 126])], 1002),
    ];
    let mut open = Vec::new();
    for (what, frames, code) in broken {
        let mut socket = RawSocket::connect(&chat.server).await;
        for frame in &frames {
            socket.send(frame).await;
        }
        assert_eq!(socket.read_close().await, Some(code), "{what}");
        open.push(socket);
    }
    // Whoever broke the protocol need not keep to the rest of it: no close is answered, and the server ends it.
    let ended = join_all(open.iter_mut().map(RawSocket::read_to_the_end)).await;
    assert!(ended.iter().all(|frames| *frames == 0), "something came after the close: {ended:?}");
    // A handler that goes on after an error burns a whole core: there is no event for nothing happening.
    let before = chat.server.cpu_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used = chat.server.cpu_ticks() - before;
    assert!(used < 10, "{used} ticks in half a second of silence");
}

#[tokio::test]
async fn a_frame_of_eight_gigabytes_is_refused_from_its_header_alone() {
    let mut chat = Chat::with(&[]).await;
    let header = Frame::text(*b"").declaring(8 << 30).bytes();

    let mut patient = RawSocket::connect(&chat.server).await;
    patient.send_bytes(&header).await;
    assert_eq!(patient.read_close().await, Some(1009));
    patient.read_to_the_end().await;

    // A session needs the vocabulary, which is most of the server's memory.
    chat.visitor.start().await;
    let before = chat.server.resident_kib();
    let mut hasty = RawSocket::connect(&chat.server).await;
    hasty.send_bytes(&header).await;
    let total = 64 * 1024 * 1024;
    let sent = hasty.drip(&[b'x'; 64 * 1024], total, Duration::from_millis(1)).await;
    assert!(sent < total, "the server took all of it");
    let grown = chat.server.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
}

#[tokio::test]
async fn a_message_may_come_in_fragments_cut_anywhere_even_within_a_character() {
    let mut chat = Chat::with(&[]).await;
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
    assert_eq!(json_of(socket.read_frame().await)["type"], "session");
    assert_eq!(chat.upstream.next_request().await.question(), "Où est-elle née 🦀?");

    chat.visitor.say_text(&ping_of(MAX_MESSAGE)).await;
    chat.visitor.hear_type("pong").await;
    socket.read_frame().await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_bytes_and_a_close_with_a_close() {
    let chat = Chat::with(&[]).await;
    let mut socket = RawSocket::connect(&chat.server).await;
    socket.send(&Frame::new(9, [7; 125])).await;
    let pong = socket.read_frame().await;
    assert_eq!(pong.map(|frame| (frame.opcode, frame.payload)), Some((10, vec![7; 125])));
    socket.send(&Frame::new(10, *b"unasked")).await;
    socket.send(&Frame::close(1000)).await;
    assert_eq!(socket.read_close().await, Some(1000));
    assert_eq!(socket.read_to_the_end().await, 0);
}

#[tokio::test]
async fn a_question_is_held_to_its_length_after_cleaning() {
    let mut chat = Chat::with(&[]).await;
    for nothing in ["", "  \n\t ", "\u{0}\u{7}"] {
        chat.visitor.ask(nothing).await;
        chat.visitor.hear_error("VALIDATION_ERROR").await;
    }
    chat.visitor.ask_with_id("too-long", &"é".repeat(2_001)).await;
    let error = chat.visitor.hear_error("MESSAGE_TOO_LONG").await;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("2001") && message.contains("2000"), "{message}");
    assert_eq!(error["id"], "too-long");

    chat.visitor.ask(&format!("  {}\u{0} ", "é".repeat(2_000))).await;
    assert_eq!(chat.visitor.answer().await.status(), "complete");
    assert_eq!(chat.upstream.next_request().await.question(), "é".repeat(2_000));
    chat.visitor.ask("Nul\u{0}l\u{0}").await;
    assert_eq!(chat.visitor.answer().await.status(), "complete");
    assert_eq!(chat.upstream.next_request().await.question(), "Null");
}

#[tokio::test]
async fn an_id_may_have_64_characters() {
    let mut chat = Chat::with(&[]).await;
    let id = "é".repeat(64);
    chat.visitor.ask_with_id(&id, "Who?").await;
    assert_eq!(chat.visitor.answer().await.accepted["id"], id.as_str());
    chat.visitor.ask_with_id(&format!("{id}e"), "Who?").await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
}

#[tokio::test]
async fn what_comes_out_of_turn_is_refused() {
    let mut chat = Chat::with(&[]).await;
    chat.visitor.say(json!({"type": "history"})).await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
    chat.visitor.say(json!({"type": "cancel"})).await;
    chat.visitor.hear_error("NO_SUCH_TURN").await;

    let session = chat.visitor.start().await;
    chat.visitor.say(json!({"type": "start"})).await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
    chat.visitor.ask_to_resume(&session, json!(null)).await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;

    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
    chat.visitor.ask("Count, please.").await;
    gate.reached().await;
    chat.visitor.ask_with_id("hasty", "And now?").await;
    let refused = chat.visitor.hear_until("error").await.pop().unwrap_or_default();
    assert_eq!(refused["code"], "TURN_IN_PROGRESS");
    assert_eq!((&refused["retryable"], &refused["id"]), (&json!(true), &json!("hasty")));
    gate.open();
    chat.visitor.hear_until("done").await;
    assert_eq!(chat.upstream.requests().len(), 1);
}

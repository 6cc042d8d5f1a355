//! Conversations over event streams: asking, resuming, and changing between the transports.

use serde_json::{Value, json};

use crate::support::client::chat::{Chat, receive_text};
use crate::support::client::event_stream::{PATH, StreamClient, StreamEvent, lines, question, resume};
use crate::support::client::http_stream::StreamRequest;
use crate::support::client::tcp_proxy::TcpProxy;
use crate::support::server::failpoints::{metric, wait_for_metric};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const OPEN: &str = "session_open_connections";

#[tokio::test]
async fn whole_conversation_works_over_an_event_stream() {
    let chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::from_words(&["In ", "Lisbon."]));
    let mut visitor = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;

    for (name, value) in [
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        ("transfer-encoding", "chunked"),
    ] {
        assert_eq!(visitor.response.header(name), Some(value));
    }
    assert!(visitor.response.header("x-request-id").is_some());

    let session = visitor.expect_session().await;
    assert_eq!(session.frame["resumed"], false);
    visitor.send(&[question("Where does she live?")]).await;
    let answer = visitor.receive_rest().await;
    assert_eq!((answer.text.as_str(), answer.status()), ("In Lisbon.", "complete"));

    let turn = answer.turn_id().to_owned();
    assert_eq!(visitor.last_event_id, format!("{turn}:{}", answer.seqs.last().unwrap()));

    visitor
        .send(&[
            json!({"type": "feedback", "turn_id": turn, "rating": "up"}),
            json!({"type": "history"}),
            json!({"type": "ping", "id": "p1"}),
        ])
        .await;
    assert_eq!(visitor.expect_frame("feedback_saved").await["rating"], "up");
    let mut kinds = [visitor.receive().await, visitor.receive().await].map(|frame| frame["type"].clone());
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["history", "pong"]);

    visitor.send(&[json!({"type": "forget"})]).await;
    visitor.expect_frame("forgotten").await;
    assert_eq!(visitor.wait_for_close().await, 1000);
    assert_eq!(metric(&chat.server, "session_event_streams_total").await, 1.0);
}

#[tokio::test]
async fn stream_opened_with_get_receives_what_is_posted() {
    let chat = Chat::new(&[]).await;
    let mut visitor = StreamClient::open_with_get(&chat.server).await;

    visitor.send(&[question("Who?")]).await;
    visitor.expect_session().await;
    assert_eq!(visitor.receive_rest().await.status(), "complete");

    // A single JSON object without a line end is one frame, and empty lines are none.
    assert_eq!(visitor.post_text(r#"{"type":"ping","id":"a"}"#).await.status, 202);
    assert_eq!(visitor.post_text("\r\n{\"type\":\"ping\",\"id\":\"b\"}\r\n\r\n").await.status, 202);
    assert_eq!(visitor.expect_frame("pong").await["id"], "a");
    assert_eq!(visitor.expect_frame("pong").await["id"], "b");
}

#[tokio::test]
async fn last_event_id_resumes_in_the_middle_of_an_answer_without_loss() {
    let chat = Chat::new(&[]).await;
    let gates = [Gate::default(), Gate::default()];
    let script = Script::from_words(&["One, ", "two, ", "three."]);
    chat.upstream.queue(script.hold_after(1, &gates[0]).hold_after(2, &gates[1]));
    let mut first = StreamClient::open(&chat.server, &[question("Count.")]).await;
    let session = first.expect_session().await;
    first.receive_text("One, ").await;
    let seen = first.last_event_id.clone();
    first.drop_abruptly();

    // Over POST the header belongs to the request that also resumes.
    let body = lines(&[resume(&session)]);
    let request = StreamRequest::post(PATH, &body).header("Last-Event-ID", &seen);
    let mut second = StreamClient::open_with(chat.server.address(), &request).await;
    let resumed = second.expect_session().await;
    assert_eq!((&resumed.frame["resumed"], &resumed.frame["recovered"]), (&json!(true), &json!(true)));
    gates[0].open();
    second.receive_text("two, ").await;
    let seen = second.last_event_id.clone();
    second.drop_abruptly();

    // `EventSource` sends it when it opens the stream, and the page posts `resume` afterwards.
    let request = StreamRequest::get(PATH).header("Last-Event-ID", &seen);
    let mut third = StreamClient::open_with(chat.server.address(), &request).await;
    third.send(&[resume(&session)]).await;
    assert_eq!(third.expect_session().await.frame["recovered"], true);
    gates[1].open();
    let rest = third.receive_rest().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("three.", "complete"));
}

#[tokio::test]
async fn cursor_of_the_frame_precedes_the_header_and_foreign_ids_are_ignored() {
    let chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::from_words(&["All of it."]));
    let mut first = StreamClient::open(&chat.server, &[question("All?")]).await;
    let session = first.expect_session().await;
    let turn = first.receive_rest().await.turn_id().to_owned();
    let last = first.last_event_id.clone();

    let mut with_cursor = resume(&session);
    with_cursor["cursor"] = json!({"turn_id": turn, "seq": 0});
    for (frame, header, recovered, text) in [
        (&with_cursor, last.as_str(), true, Some("All of it.")),
        (&resume(&session), last.as_str(), true, Some("")),
        (&resume(&session), "42", false, None),
        (&resume(&session), "", false, None),
    ] {
        let request =
            StreamRequest::post(PATH, &lines(std::slice::from_ref(frame))).header("Last-Event-ID", header);
        let mut stream = StreamClient::open_with(chat.server.address(), &request).await;
        let resumed = stream.expect_session().await;
        assert_eq!(resumed.frame["recovered"], recovered, "{header:?}");
        match text {
            Some(text) => assert_eq!(stream.receive_rest().await.text, text, "{header:?}"),
            None => assert_eq!(resumed.frame["history"][1]["content"], "All of it.", "{header:?}"),
        }
    }
}

#[tokio::test]
async fn repeated_question_does_not_move_the_position_back() {
    let chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let ask = json!({"type": "question", "question": "Count.", "id": "q1"});
    let mut visitor = StreamClient::open(&chat.server, std::slice::from_ref(&ask)).await;
    visitor.receive_text("One, ").await;
    let seen = visitor.last_event_id.clone();

    visitor.send(&[ask]).await;
    assert_eq!(visitor.expect_frame("accepted").await["duplicate"], true);
    assert_eq!(visitor.last_event_id, seen);
    gate.open();
    assert_eq!(visitor.receive_rest().await.text, "two.");
}

#[tokio::test]
async fn lost_stream_frees_its_place_at_once_and_the_answer_continues() {
    let chat = Chat::new(&[]).await;
    let proxy = TcpProxy::start(chat.server.address()).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let request = StreamRequest::post(PATH, &lines(&[question("Count.")]));
    let mut visitor = StreamClient::open_with(proxy.address, &request).await;
    let session = visitor.expect_session().await;
    visitor.receive_text("One, ").await;
    let posted = format!("{PATH}/{}", visitor.connection_id);
    wait_for_metric(&chat.server, OPEN, 2.0).await;

    proxy.drop_connections();
    assert_eq!(visitor.next().await, StreamEvent::Lost);
    // Long before the next keep-alive. The socket of the set-up stays open.
    wait_for_metric(&chat.server, OPEN, 1.0).await;
    let late = StreamRequest::post(&posted, "{}").send(chat.server.address()).await;
    assert_eq!(late.status, 404);

    let mut back = StreamClient::open(&chat.server, &[resume(&session)]).await;
    back.expect_session().await;
    gate.open();
    let whole = back.receive_rest().await;
    assert_eq!((whole.text.as_str(), whole.status()), ("One, two.", "complete"));
    // That a visitor leaves is no event for the operator.
    let alarms = |line: &&Value| ["warning", "error"].iter().any(|level| line["level"] == *level);
    let logs = chat.server.logs();
    assert!(!logs.iter().any(|line| alarms(&line)), "{logs:#?}");
}

#[tokio::test]
async fn session_moves_between_the_transports() {
    let mut chat = Chat::new(&[]).await;
    let gates = [Gate::default(), Gate::default()];
    let script = Script::from_words(&["One, ", "two, ", "three."]);
    chat.upstream.queue(script.hold_after(1, &gates[0]).hold_after(2, &gates[1]));
    let session = chat.visitor.start().await;
    chat.visitor.ask("Count.").await;
    let shown = receive_text(&mut chat.visitor, "One, ").await;

    // From the socket to a stream, which takes the session over.
    let mut frame = resume(&session);
    frame["cursor"] = json!({"turn_id": shown["turn_id"], "seq": shown["seq"]});
    let mut stream = StreamClient::open(&chat.server, &[frame]).await;
    assert_eq!(stream.expect_session().await.frame["recovered"], true);
    assert_eq!(chat.visitor.wait_for_close().await, 4409);
    gates[0].open();
    stream.receive_text("two, ").await;

    // And back, with the numbers of the events.
    let (turn_id, seq) = stream.last_event_id.split_once(':').unwrap();
    let cursor = json!({"turn_id": turn_id, "seq": seq.parse::<u64>().unwrap()});
    let mut back = chat.connect().await;
    assert_eq!(back.resume(&session, cursor).await.frame["recovered"], true);
    assert_eq!(stream.wait_for_close().await, 4409);
    gates[1].open();
    assert_eq!(back.receive_rest().await.text, "three.");

    // From a stream to another one.
    let mut one = StreamClient::open(&chat.server, &[resume(&session)]).await;
    one.expect_session().await;
    let mut other = StreamClient::open(&chat.server, &[resume(&session)]).await;
    other.expect_session().await;
    assert_eq!(one.wait_for_close().await, 4409);
}

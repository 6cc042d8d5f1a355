//! Two instances on one store: sessions continue on either, and one can follow an answer of the
//! other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::cursor_at;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

async fn start_second_instance(store: &FreshStore, chat: &Chat) -> Server {
    Server::start(ServerConfig::serve(store, &chat.upstream)).await
}

/// Asks a question whose answer waits at the gate after two of four stored words. Returns the last
/// delta.
async fn receive_half_an_answer(store: &FreshStore, chat: &mut Chat, gate: &Gate) -> Value {
    chat.upstream.queue(Script::from_words(&["One ", "two ", "three ", "four."]).hold_after(2, gate));
    chat.visitor.ask_with_id("q1", "Count, please.").await;
    let shown = receive_text(&mut chat.visitor, "One two ").await;
    wait_until_stored(store, "SELECT count(*) FROM messages WHERE content = 'One two '", 1).await;
    shown
}

on_both_stores! {
    async fn finished_answer_resumes_on_another_instance(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]));

        let answer = chat.visitor.ask_and_wait("Count, please.").await;
        let second_instance = start_second_instance(&store, &chat).await;
        let mut visitor = ChatClient::connect(&second_instance).await;
        let back = visitor.resume(&session, json!({"turn_id": answer.turn_id(), "seq": 1})).await.frame;

        assert_eq!(back["recovered"], true);

        let rest = visitor.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two three.", "complete"));
        assert_eq!(visitor.ask_and_wait("And now?").await.status(), "complete");
    }

    async fn answer_in_progress_is_followed_on_another_instance(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();

        let shown = receive_half_an_answer(&store, &mut chat, &gate).await;
        let second_instance = start_second_instance(&store, &chat).await;
        let mut visitor = ChatClient::connect(&second_instance).await;
        let cursor = json!({"turn_id": shown["turn_id"], "seq": 1});
        let back = visitor.resume(&session, cursor).await.frame;

        assert_eq!(back["recovered"], true);
        assert_eq!(receive_text(&mut visitor, "two ").await["replay"], true);

        visitor.ask("May I?").await;
        visitor.expect_error("TURN_IN_PROGRESS").await;

        visitor.ask_with_id("q1", "Count, please.").await;
        assert_eq!(visitor.expect_frame("accepted").await["duplicate"], true);
        assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'answering'").await, 1);

        // A second resume on that instance uses the same buffer.
        let mut third = ChatClient::connect(&second_instance).await;
        third.resume(&session, cursor_at(&shown)).await;
        gate.open();
        let rest = third.receive_rest().await;

        assert_eq!((rest.text.as_str(), rest.status()), ("three four.", "complete"));
        assert_eq!(rest.seqs.last(), Some(&4));
        assert!(
            rest.deltas.iter().all(|delta| delta["replay"].is_null()),
            "new deltas are marked as replay: {rest:?}"
        );
        assert_eq!(chat.upstream.requests().len(), 1);

        third.ask_and_wait("And now?").await;
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;

        assert_eq!(prompt.messages()[2]["content"], "One two three four.");
    }

    async fn answer_can_be_cancelled_on_another_instance(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();

        let shown = receive_half_an_answer(&store, &mut chat, &gate).await;
        let second_instance = start_second_instance(&store, &chat).await;
        let mut visitor = ChatClient::connect(&second_instance).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        visitor.send(json!({"type": "cancel", "seen_seq": 1})).await;
        let rest = visitor.receive_rest().await;

        assert_eq!((rest.status(), &rest.done["durable"]), ("cancelled", &json!(true)));
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);
        assert_eq!(
            chat.wait_for_turn_end().await["durable"],
            false,
            "the result of the other instance was overwritten"
        );

        let kept = store.query_texts("SELECT content FROM messages WHERE role = 'assistant'").await;
        assert_eq!(kept, ["One "]);
        assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'cancelled'").await, 1);
    }

    async fn forget_on_another_instance_aborts_the_answer(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();

        let shown = receive_half_an_answer(&store, &mut chat, &gate).await;
        let second_instance = start_second_instance(&store, &chat).await;
        let mut visitor = ChatClient::connect(&second_instance).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        visitor.send(json!({"type": "forget"})).await;
        visitor.receive_until("forgotten").await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);

        chat.wait_for_turn_end().await;
        for table in ["sessions", "turns", "messages"] {
            assert_eq!(store.query_number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }

    async fn idle_connection_is_closed_after_a_takeover_on_another_instance(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let second_instance = start_second_instance(&store, &chat).await;
        let mut visitor = ChatClient::connect(&second_instance).await;

        visitor.resume(&session, Value::Null).await;
        assert_eq!(chat.visitor.wait_for_close().await, 4409);

        // A takeover back closes the connection on the second instance.
        chat.connect().await.resume(&session, Value::Null).await;
        assert_eq!(visitor.wait_for_close().await, 4409);
    }

    async fn answer_of_a_dead_instance_is_interrupted_immediately(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();

        let shown = receive_half_an_answer(&store, &mut chat, &gate).await;
        let second_instance = start_second_instance(&store, &chat).await;
        chat.server.kill().await;
        let mut visitor = ChatClient::connect(&second_instance).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        let resumed_at = Instant::now();

        assert_eq!(visitor.receive_rest().await.status(), "interrupted");
        assert!(resumed_at.elapsed().as_secs() < 2, "the interruption took {:?}", resumed_at.elapsed());
    }
}

#[tokio::test]
async fn answer_of_a_silent_remote_instance_is_interrupted_after_a_timeout() {
    let store = crate::support::stores::fresh_store::StoreKind::Sqlite.create().await;
    let mut chat = Chat::with_store(&store, &[]).await;
    let session = chat.visitor.start().await;
    let gate = Gate::default();
    let shown = receive_half_an_answer(&store, &mut chat, &gate).await;
    let second_instance = start_second_instance(&store, &chat).await;
    // Pretend that the first instance is on another machine, so that its process cannot be checked.
    store.execute("UPDATE turns SET answered_by = 'another-machine/pid:[1]/1/1'").await;
    let mut visitor = ChatClient::connect(&second_instance).await;
    visitor.resume(&session, cursor_at(&shown)).await;

    visitor.expect_no_more_frames().await;

    chat.server.signal("STOP").await;
    let stopped_at = Instant::now();
    let end = visitor.receive_within(Duration::from_secs(30)).await;

    assert_eq!((&end["type"], &end["status"]), (&json!("done"), &json!("interrupted")));

    let waited = stopped_at.elapsed().as_secs();
    assert!((8..20).contains(&waited), "interrupted after {waited} s");

    // When the first instance continues, it must not overwrite the interrupted turn.
    chat.server.signal("CONT").await;
    chat.upstream.wait_for_abort().await;
    assert_eq!(chat.wait_for_turn_end().await["durable"], false);
    assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'interrupted'").await, 1);
}

//! Two servers on one store: a conversation goes on at either, and an answer that one gives is heard out at the other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::cursor_at;
use crate::support::client::chat::{Chat, hear_text, until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

async fn another_server(store: &FreshStore, chat: &Chat) -> Server {
    Server::start(ServerConfig::serve(store, &chat.upstream)).await
}

/// A question whose answer stands still after two of four words, both of which are saved.
async fn half_an_answer(store: &FreshStore, chat: &mut Chat, gate: &Gate) -> Value {
    chat.upstream.queue(Script::of(&["One ", "two ", "three ", "four."]).hold_after(2, gate));
    chat.visitor.ask_with_id("q1", "Count, please.").await;
    let shown = hear_text(&mut chat.visitor, "One two ").await;
    until_stored(store, "SELECT count(*) FROM messages WHERE content = 'One two '", 1).await;
    shown
}

on_both_stores! {
    async fn a_finished_conversation_is_gone_on_with_at_another_server_to_the_word(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three."]));
        let answer = chat.visitor.ask_and_hear("Count, please.").await;
        let other = another_server(&store, &chat).await;
        let mut visitor = ChatClient::connect(&other).await;
        let back = visitor.resume(&session, json!({"turn_id": answer.turn_id(), "seq": 1})).await.frame;
        assert_eq!(back["recovered"], true);
        let rest = visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two three.", "complete"));
        assert_eq!(visitor.ask_and_hear("And now?").await.status(), "complete");
    }

    async fn an_answer_that_one_server_gives_is_heard_out_at_another(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        let shown = half_an_answer(&store, &mut chat, &gate).await;
        let other = another_server(&store, &chat).await;
        let mut visitor = ChatClient::connect(&other).await;
        let cursor = json!({"turn_id": shown["turn_id"], "seq": 1});
        let back = visitor.resume(&session, cursor).await.frame;
        assert_eq!(back["recovered"], true);
        assert_eq!(hear_text(&mut visitor, "two ").await["replay"], true);
        visitor.ask("May I?").await;
        visitor.hear_error("TURN_IN_PROGRESS").await;
        visitor.ask_with_id("q1", "Count, please.").await;
        assert_eq!(visitor.hear_type("accepted").await["duplicate"], true);
        assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'answering'").await, 1);
        // A second visit to that server finds the same log.
        let mut third = ChatClient::connect(&other).await;
        third.resume(&session, cursor_at(&shown)).await;
        gate.open();
        let rest = third.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("three four.", "complete"));
        assert_eq!(rest.seqs.last(), Some(&4));
        assert!(rest.deltas.iter().all(|delta| delta["replay"].is_null()), "it is new: {rest:?}");
        assert_eq!(chat.upstream.requests().len(), 1);
        third.ask_and_hear("And now?").await;
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(prompt.messages()[2]["content"], "One two three four.");
    }

    async fn an_answer_followed_from_another_server_is_stopped_there(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        let shown = half_an_answer(&store, &mut chat, &gate).await;
        let other = another_server(&store, &chat).await;
        let mut visitor = ChatClient::connect(&other).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        visitor.say(json!({"type": "cancel", "seen_seq": 1})).await;
        let rest = visitor.rest_of_answer().await;
        assert_eq!((rest.status(), &rest.done["durable"]), ("cancelled", &json!(true)));
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);
        assert_eq!(chat.turn_ended().await["durable"], false, "what the other wrote stands");
        let kept = store.texts("SELECT content FROM messages WHERE role = 'assistant'").await;
        assert_eq!(kept, ["One "]);
        assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'cancelled'").await, 1);
    }

    async fn an_answer_stops_at_one_server_when_its_conversation_is_forgotten_at_another(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        let shown = half_an_answer(&store, &mut chat, &gate).await;
        let other = another_server(&store, &chat).await;
        let mut visitor = ChatClient::connect(&other).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        visitor.say(json!({"type": "forget"})).await;
        visitor.hear_until("forgotten").await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);
        chat.turn_ended().await;
        for table in ["sessions", "turns", "messages"] {
            assert_eq!(store.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }

    async fn a_connection_that_says_nothing_is_told_that_its_conversation_goes_on_at_another_server(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let other = another_server(&store, &chat).await;
        let mut visitor = ChatClient::connect(&other).await;
        visitor.resume(&session, Value::Null).await;
        assert_eq!(chat.visitor.hear_close().await, 4409);
        // Back at the first, it is the other's turn to go.
        chat.another().await.resume(&session, Value::Null).await;
        assert_eq!(visitor.hear_close().await, 4409);
    }

    async fn an_answer_is_known_to_be_cut_off_when_the_process_that_gave_it_is_gone(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        let shown = half_an_answer(&store, &mut chat, &gate).await;
        let other = another_server(&store, &chat).await;
        chat.server.kill().await;
        let mut visitor = ChatClient::connect(&other).await;
        visitor.resume(&session, cursor_at(&shown)).await;
        let asked = Instant::now();
        assert_eq!(visitor.rest_of_answer().await.status(), "interrupted");
        assert!(asked.elapsed().as_secs() < 2, "it need not be waited for: {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn an_answer_of_a_server_far_away_is_cut_off_when_that_falls_silent() {
    let store = crate::support::stores::fresh_store::Store::Sqlite.fresh().await;
    let mut chat = Chat::on(&store, &[]).await;
    let session = chat.visitor.start().await;
    let gate = Gate::default();
    let shown = half_an_answer(&store, &mut chat, &gate).await;
    let other = another_server(&store, &chat).await;
    // As if it were on another machine, whose processes cannot be seen from here; and then it hangs.
    store.execute("UPDATE turns SET answered_by = 'another-machine/pid:[1]/1/1'").await;
    let mut visitor = ChatClient::connect(&other).await;
    visitor.resume(&session, cursor_at(&shown)).await;
    visitor.hear_nothing_more().await;
    chat.server.signal("STOP").await;
    let silent = Instant::now();
    let end = visitor.hear_within(Duration::from_secs(30)).await;
    assert_eq!((&end["type"], &end["status"]), (&json!("done"), &json!("interrupted")));
    let waited = silent.elapsed().as_secs();
    assert!((8..20).contains(&waited), "not at once, and not for long: {waited}");
    // Back again, it finds that it lost its turn, and leaves the store as it is.
    chat.server.signal("CONT").await;
    chat.upstream.wait_for_abort().await;
    assert_eq!(chat.turn_ended().await["durable"], false);
    assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'interrupted'").await, 1);
}

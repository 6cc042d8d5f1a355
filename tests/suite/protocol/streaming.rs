//! Streaming of answers: every delta once and in order, and the stored result.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::stores::fresh_store::StoreKind;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::upstream::stream_step::UsageChunk;

const WORDS: [&str; 3] = ["Sie ", "baut ", "Übersetzer 🦀."];
const TEXT: &str = "Sie baut Übersetzer 🦀.";

/// Returns all forms in which an OpenAI-compatible server may send the same words and usage.
fn every_stream_form() -> Vec<(&'static str, Script)> {
    let plain = || Script::from_words(&WORDS);
    vec![
        ("one write an event", plain()),
        ("split at every byte", plain().split_at_every_byte()),
        ("split at every third byte", plain().split(3)),
        ("CRLF", plain().crlf()),
        ("CRLF, split at every byte", plain().crlf().split_at_every_byte()),
        ("CR", plain().cr()),
        ("no space after data:", plain().no_space_after_data()),
        ("byte order mark", plain().bom()),
        ("byte order mark, split at every byte", plain().bom().split_at_every_byte()),
        ("comments before", Script::new().keep_alive_comments(3).words(&WORDS)),
        ("comments between", Script::from_words(&WORDS[..1]).keep_alive_comments(3).words(&WORDS[1..])),
        ("a debug chunk", plain().debug_chunk()),
        ("a metadata chunk", plain().openrouter_metadata()),
        ("a chunk that is not JSON", Script::from_words(&WORDS[..2]).not_json().words(&WORDS[2..])),
        ("reasoning before", Script::new().reasoning(&["hm", "well"]).words(&WORDS)),
        ("no role", plain().no_role()),
        ("no [DONE]", plain().no_done()),
        ("usage that repeats the choice", plain().usage_chunk(UsageChunk::RepeatedChoice)),
        ("usage without an id", plain().usage_chunk(UsageChunk::NoId)),
        ("usage with the finish", plain().usage_chunk(UsageChunk::WithFinishReason)),
    ]
}

#[tokio::test]
async fn every_stream_form_yields_the_same_text_and_usage() {
    let mut chat = Chat::new(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "100")]).await;
    for (form, script) in every_stream_form() {
        chat.upstream.queue(script);
        let answer = chat.visitor.ask_and_wait(form).await;
        assert_eq!((answer.text.as_str(), answer.status()), (TEXT, "complete"), "{form}");
        let usage = json!({"prompt_tokens": 42, "completion_tokens": 7, "cost": 0.000_123});
        assert_eq!(answer.done["usage"], usage, "{form}");
        assert_eq!(answer.done["model"], "test/model", "{form}");
        assert!(answer.seqs.is_sorted_by(|previous, next| previous < next), "{form}: {:?}", answer.seqs);
        chat.visitor.expect_no_more_frames().await;
    }
}

#[tokio::test]
async fn done_names_the_model_that_answered() {
    let mut chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::from_words(&WORDS).model("other/model-2"));

    let answer = chat.visitor.ask_and_wait("Who is it?").await;
    assert_eq!(answer.done["model"], "other/model-2");
}

#[tokio::test]
async fn first_delta_is_sent_before_the_second_one_exists() {
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["First ", "second."]).hold_after(1, &gate));

    chat.visitor.ask("What comes first?").await;
    let frames: Vec<_> = chat.visitor.receive_until("delta").await;
    let types: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap_or_default()).collect();

    assert_eq!(types, ["session", "accepted", "delta"]);
    assert_eq!(chat.visitor.frames()[2]["text"], "First ");

    gate.open();
    assert_eq!(chat.visitor.receive_rest().await.text, "second.");
}

on_both_stores! {
    async fn answer_is_streamed_and_stored(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(Script::from_words(&["She ", "builds ", "compilers."]));

        let answer = chat.visitor.ask_and_wait("What does she do?").await;
        assert_eq!(answer.text, "She builds compilers.");
        assert_eq!(answer.status(), "complete");
        assert_eq!(answer.done["durable"], true);
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 2);
    }

    async fn question_is_stored_before_it_is_accepted(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&WORDS).hold_before_headers(&gate));

        chat.visitor.ask("Is it stored?").await;
        let accepted = chat.visitor.receive_until("accepted").await.pop().unwrap_or_default();
        assert_eq!(accepted["durable"], true);

        let stored = "SELECT count(*) FROM messages WHERE role = 'user' AND content = 'Is it stored?'";
        assert_eq!(store.query_number(stored).await, 1);

        gate.open();
        assert_eq!(chat.visitor.receive_rest().await.text, TEXT);
    }

    async fn question_during_an_outage_is_answered_and_stored_afterwards(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        let outage = store.take_offline().await;
        chat.upstream.queue(Script::from_words(&WORDS));
        chat.visitor.ask("Is anybody there?").await;
        chat.upstream.next_request().await;
        let answer = chat.visitor.receive_answer().await;

        assert_eq!((answer.text.as_str(), answer.status()), (TEXT, "complete"));
        assert_eq!(answer.accepted["durable"], false);
        assert_eq!(answer.done["durable"], false);

        outage.end().await;

        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        let back = chat.connect().await.resume(&session, json!(null)).await.frame;
        let contents = back["history"].as_array().into_iter().flatten().map(|message| &message["content"]);

        assert_eq!(contents.collect::<Vec<_>>(), ["Is anybody there?", TEXT]);
    }

    async fn outage_that_ends_during_the_write_probe_loses_nothing(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.visitor.start().await;

        let outage = store.take_offline().await;
        chat.visitor.ask("Is anybody there?").await;
        // The write has failed once, and the server is probing the database.
        assert_eq!(chat.visitor.expect_frame("accepted").await["durable"], false);

        outage.end().await;
        assert_eq!(chat.visitor.receive_rest().await.status(), "complete");

        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
    }

    async fn nul_characters_are_removed_from_answers(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(Script::from_words(&["a\u{0}b", "\u{0}", "c"]));

        let answer = chat.visitor.ask_and_wait("What is it?").await;
        assert_eq!((answer.text.as_str(), &answer.done["durable"]), ("abc", &json!(true)));
        assert_eq!(store.query_number("SELECT count(*) FROM messages WHERE content = 'abc'").await, 1);
    }

    async fn invalid_model_name_is_cleaned_and_the_answer_stored(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let name = format!("good\u{0}\n/model{}", "x".repeat(10_000));
        chat.upstream.queue(Script::from_words(&["Yes."]).model(&name));

        let answer = chat.visitor.ask_and_wait("Is it?").await;
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));

        let kept = store.query_texts("SELECT model FROM turns").await.concat();
        assert_eq!((kept.get(..13), kept.len()), (Some("good/modelxxx"), 128));
    }

    async fn impossible_cost_is_ignored_and_the_answer_stored(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        for question in ["One?", "Two?"] {
            chat.upstream.queue(Script::from_words(&["Yes."]).usage(40, 2, 1e15));
            let answer = chat.visitor.ask_and_wait(question).await;
            assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
            assert_eq!(answer.done["usage"]["cost"], json!(null));
        }
    }

    async fn cancel_aborts_the_upstream_request_and_stores_the_partial_answer(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]).hang_after(2));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One two ").await;
        chat.visitor.send(json!({"type": "cancel"})).await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);

        let answer = chat.visitor.receive_rest().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("", "cancelled"));
        assert_eq!(answer.done["durable"], true);

        let kept = "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id \
             WHERE role = 'assistant' AND content = 'One two ' AND status = 'cancelled'";
        assert_eq!(store.query_number(kept).await, 1);

        chat.visitor.send(json!({"type": "cancel"})).await;
        chat.visitor.expect_error("NO_SUCH_TURN").await;
        assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");
    }

    async fn answer_is_completed_and_stored_after_a_disconnect(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.drop_and_reconnect().await;
        chat.server.wait_for_log("the lost connection", |entry| entry["msg"] == "session closed").await;
        gate.open();

        assert_eq!(chat.wait_for_turn_end().await["status"], "complete");

        let kept = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'One two.'";
        assert_eq!(store.query_number(kept).await, 1);
        assert!(chat.upstream.aborts().is_empty());
    }

    async fn answer_is_interrupted_after_the_reconnect_grace(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("RECONNECT_GRACE", "300ms")]).await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.drop_and_reconnect().await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);
        assert_eq!(chat.wait_for_turn_end().await["status"], "interrupted");

        let kept = "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id \
             WHERE role = 'assistant' AND content = 'One ' AND status = 'interrupted'";
        assert_eq!(store.query_number(kept).await, 1);
    }
}

#[tokio::test]
async fn sqlite_file_locked_by_another_process_delays_the_write() {
    let store = StoreKind::Sqlite.create().await;
    let mut chat = Chat::with_store(&store, &[]).await;
    chat.visitor.start().await;

    let outage = store.take_offline().await;
    chat.visitor.ask("Is anybody there?").await;

    assert_eq!(chat.visitor.receive_answer().await.done["durable"], false);

    let is_outage =
        |entry: &Value| entry["msg"].as_str().is_some_and(|msg| msg.contains("database unavailable"));
    chat.server.wait_for_log("the start of the outage", is_outage).await;
    outage.end().await;
    wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
}

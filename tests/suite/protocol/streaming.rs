//! Answers that stream: word by word, in order, once, and kept.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, hear_text, until_stored};
use crate::support::stores::fresh_store::Store;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::upstream::stream_step::UsageChunk;

const WORDS: [&str; 3] = ["Sie ", "baut ", "Übersetzer 🦀."];
const TEXT: &str = "Sie baut Übersetzer 🦀.";

/// Every form in which an OpenAI-compatible server may send the same words and the same usage.
fn every_form() -> Vec<(&'static str, Script)> {
    let plain = || Script::of(&WORDS);
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
        ("comments between", Script::of(&WORDS[..1]).keep_alive_comments(3).words(&WORDS[1..])),
        ("a debug chunk", plain().debug_chunk()),
        ("a metadata chunk", plain().openrouter_metadata()),
        ("a chunk that is not JSON", Script::of(&WORDS[..2]).not_json().words(&WORDS[2..])),
        ("reasoning before", Script::new().reasoning(&["hm", "well"]).words(&WORDS)),
        ("no role", plain().no_role()),
        ("no [DONE]", plain().no_done()),
        ("usage that repeats the choice", plain().usage_chunk(UsageChunk::RepeatedChoice)),
        ("usage without an id", plain().usage_chunk(UsageChunk::NoId)),
        ("usage with the finish", plain().usage_chunk(UsageChunk::WithTheFinish)),
    ]
}

#[tokio::test]
async fn every_form_of_stream_gives_the_same_words_once_and_the_same_usage() {
    let mut chat = Chat::with(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "100")]).await;
    for (form, script) in every_form() {
        chat.upstream.queue(script);
        let answer = chat.visitor.ask_and_hear(form).await;
        assert_eq!((answer.text.as_str(), answer.status()), (TEXT, "complete"), "{form}");
        let usage = json!({"prompt_tokens": 42, "completion_tokens": 7, "cost": 0.000_123});
        assert_eq!(answer.done["usage"], usage, "{form}");
        assert_eq!(answer.done["model"], "test/model", "{form}");
        assert!(answer.seqs.is_sorted_by(|one, next| one < next), "{form}: {:?}", answer.seqs);
        chat.visitor.hear_nothing_more().await;
    }
}

#[tokio::test]
async fn the_model_that_answered_is_named_also_when_another_was_asked() {
    let mut chat = Chat::with(&[]).await;
    chat.upstream.queue(Script::of(&WORDS).model("other/model-2"));
    let answer = chat.visitor.ask_and_hear("Who is it?").await;
    assert_eq!(answer.done["model"], "other/model-2");
}

#[tokio::test]
async fn the_first_word_is_shown_while_upstream_still_thinks_of_the_second() {
    let mut chat = Chat::with(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["First ", "second."]).hold_after(1, &gate));
    chat.visitor.ask("What comes first?").await;
    let types: Vec<_> = chat.visitor.hear_until("delta").await;
    let types: Vec<_> = types.iter().map(|frame| frame["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["session", "accepted", "delta"]);
    assert_eq!(chat.visitor.heard()[2]["text"], "First ");
    gate.open();
    assert_eq!(chat.visitor.rest_of_answer().await.text, "second.");
}

on_both_stores! {
    async fn a_question_is_answered_word_by_word_and_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(Script::of(&["She ", "builds ", "compilers."]));
        let answer = chat.visitor.ask_and_hear("What does she do?").await;
        assert_eq!(answer.text, "She builds compilers.");
        assert_eq!(answer.status(), "complete");
        assert_eq!(answer.done["durable"], true);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 2);
    }

    async fn an_accepted_question_is_stored_before_a_word_of_its_answer_is_there(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&WORDS).hold_before_headers(&gate));
        chat.visitor.ask("Is it stored?").await;
        let accepted = chat.visitor.hear_until("accepted").await.pop().unwrap_or_default();
        assert_eq!(accepted["durable"], true);
        let stored = "SELECT count(*) FROM messages WHERE role = 'user' AND content = 'Is it stored?'";
        assert_eq!(store.number(stored).await, 1);
        gate.open();
        assert_eq!(chat.visitor.rest_of_answer().await.text, TEXT);
    }

    async fn upstream_is_asked_while_the_store_is_away_and_all_is_stored_when_it_is_back(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let outage = store.go_away().await;
        chat.upstream.queue(Script::of(&WORDS));
        chat.visitor.ask("Is anybody there?").await;
        chat.upstream.next_request().await;
        let answer = chat.visitor.answer().await;
        assert_eq!((answer.text.as_str(), answer.status()), (TEXT, "complete"));
        assert_eq!(answer.accepted["durable"], false);
        assert_eq!(answer.done["durable"], false);
        outage.end().await;

        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        let back = chat.another().await.resume(&session, json!(null)).await.frame;
        let said = back["history"].as_array().into_iter().flatten().map(|it| &it["content"]);
        assert_eq!(said.collect::<Vec<_>>(), ["Is anybody there?", TEXT]);
    }

    async fn nothing_is_lost_when_the_store_comes_back_just_as_it_is_looked_for(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.visitor.start().await;
        let outage = store.go_away().await;
        chat.visitor.ask("Is anybody there?").await;
        // By now the write has failed once, and whether the database is there at all is being asked.
        assert_eq!(chat.visitor.hear_type("accepted").await["durable"], false);
        outage.end().await;
        assert_eq!(chat.visitor.rest_of_answer().await.status(), "complete");
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
    }

    async fn a_character_that_not_every_store_takes_is_left_out_of_an_answer(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(Script::of(&["a\u{0}b", "\u{0}", "c"]));
        let answer = chat.visitor.ask_and_hear("What is it?").await;
        assert_eq!((answer.text.as_str(), &answer.done["durable"]), ("abc", &json!(true)));
        assert_eq!(store.number("SELECT count(*) FROM messages WHERE content = 'abc'").await, 1);
    }

    async fn a_model_whose_name_no_store_takes_or_nobody_reads_is_no_reason_to_lose_its_answer(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let name = format!("good\u{0}\n/model{}", "x".repeat(10_000));
        chat.upstream.queue(Script::of(&["Yes."]).model(&name));
        let answer = chat.visitor.ask_and_hear("Is it?").await;
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
        let kept = store.texts("SELECT model FROM turns").await.concat();
        assert_eq!((kept.get(..13), kept.len()), (Some("good/modelxxx"), 128));
    }

    async fn a_cost_that_cannot_be_is_not_counted_and_no_reason_to_lose_the_answer(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        for question in ["One?", "Two?"] {
            chat.upstream.queue(Script::of(&["Yes."]).usage(40, 2, 1e15));
            let answer = chat.visitor.ask_and_hear(question).await;
            assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
            assert_eq!(answer.done["usage"]["cost"], json!(null));
        }
    }

    async fn cancelling_stops_upstream_and_keeps_what_was_answered(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three."]).hang_after(2));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One two ").await;
        chat.visitor.say(json!({"type": "cancel"})).await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 2);
        let answer = chat.visitor.rest_of_answer().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("", "cancelled"));
        assert_eq!(answer.done["durable"], true);
        let kept = "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id \
             WHERE role = 'assistant' AND content = 'One two ' AND status = 'cancelled'";
        assert_eq!(store.number(kept).await, 1);
        chat.visitor.say(json!({"type": "cancel"})).await;
        chat.visitor.hear_error("NO_SUCH_TURN").await;
        assert_eq!(chat.visitor.ask_and_hear("And now?").await.status(), "complete");
    }

    async fn a_visitor_who_is_cut_off_finds_the_whole_answer_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        chat.server.wait_for_log("the lost connection", |entry| entry["msg"] == "session closed").await;
        gate.open();
        assert_eq!(chat.turn_ended().await["status"], "complete");
        let kept = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'One two.'";
        assert_eq!(store.number(kept).await, 1);
        assert!(chat.upstream.aborts().is_empty());
    }

    async fn an_answer_nobody_comes_back_for_is_stopped_and_kept_as_interrupted(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("RECONNECT_GRACE", "300ms")]).await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);
        assert_eq!(chat.turn_ended().await["status"], "interrupted");
        let kept = "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id \
             WHERE role = 'assistant' AND content = 'One ' AND status = 'interrupted'";
        assert_eq!(store.number(kept).await, 1);
    }
}

#[tokio::test]
async fn a_database_file_that_another_process_holds_for_long_is_waited_for() {
    let store = Store::Sqlite.fresh().await;
    let mut chat = Chat::on(&store, &[]).await;
    chat.visitor.start().await;
    let outage = store.go_away().await;
    chat.visitor.ask("Is anybody there?").await;
    assert_eq!(chat.visitor.answer().await.done["durable"], false);
    let away = |entry: &Value| entry["msg"].as_str().is_some_and(|it| it.contains("database is away"));
    chat.server.wait_for_log("that the database is away", away).await;
    outage.end().await;
    until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
}

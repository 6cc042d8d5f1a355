//! An answer that is stopped ends where the visitor saw it stop.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{contents, cursor_at};
use crate::support::client::chat::{Chat, hear_text};
use crate::support::upstream::script::Script;

on_both_stores! {
    async fn what_the_visitor_saw_of_a_stopped_answer_is_what_is_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three ", "four "]).no_usage().hang_after(4));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let last = hear_text(&mut chat.visitor, "One two three four ").await;
        let stopped = Instant::now();
        chat.visitor.say(json!({"type": "cancel", "turn_id": last["turn_id"], "seen_seq": 2})).await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 4);
        assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
        let end = chat.visitor.rest_of_answer().await;
        assert_eq!((end.text.as_str(), end.status(), &end.done["durable"]), ("", "cancelled", &json!(true)));
        let kept = store.texts("SELECT content FROM messages WHERE role = 'assistant'").await;
        assert_eq!(kept, ["One two "]);
        assert_eq!(contents(&chat.visitor.history(json!({})).await["messages"]), ["Count, please.", "One two "]);
        chat.visitor.ask_and_hear("And now?").await;
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(prompt.conversation(), ["Count, please.", "One two ", "And now?"]);

        for restarts in [false, true] {
            if restarts {
                chat.kill_and_start_again().await;
            } else {
                chat.visitor = chat.another().await;
            }
            chat.visitor.resume(&session, Value::Null).await;
            chat.visitor.ask_with_id("q1", "Count, please.").await;
            let again = chat.visitor.answer().await;
            assert_eq!((again.text.as_str(), again.status()), ("One two ", "cancelled"));
            assert_eq!(again.done["usage"], end.done["usage"]);
        }
    }

    async fn a_stopped_answer_is_gone_on_with_only_as_far_as_it_is_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three "]).hang_after(3));
        chat.visitor.ask("Count, please.").await;
        let last = hear_text(&mut chat.visitor, "One two three ").await;
        chat.visitor.say(json!({"type": "cancel", "seen_seq": 1})).await;
        chat.visitor.hear_until("done").await;
        for restarts in [false, true] {
            if restarts {
                chat.kill_and_start_again().await;
            }
            let mut other = chat.another().await;
            let back = other.resume(&session, json!({"turn_id": last["turn_id"], "seq": 0})).await.frame;
            assert_eq!(back["recovered"], true);
            let rest = other.rest_of_answer().await;
            assert_eq!((rest.text.as_str(), rest.status()), ("One ", "cancelled"));
            let mut other = chat.another().await;
            assert_eq!(other.resume(&session, cursor_at(&last)).await.frame["recovered"], false);
        }
    }

    async fn one_who_claims_to_have_seen_more_than_was_said_keeps_all_of_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        for (seen, kept) in [(json!(1000), "One two "), (json!(0), "")] {
            chat.upstream.queue(Script::of(&["One ", "two "]).hang_after(2));
            chat.visitor.ask("Count, please.").await;
            hear_text(&mut chat.visitor, "One two ").await;
            chat.visitor.say(json!({"type": "cancel", "seen_seq": seen})).await;
            assert_eq!(chat.visitor.rest_of_answer().await.status(), "cancelled");
            let stored = "SELECT content FROM messages WHERE role = 'assistant' ORDER BY turn_id DESC LIMIT 1";
            assert_eq!(store.texts(stored).await, [kept]);
        }
    }
}

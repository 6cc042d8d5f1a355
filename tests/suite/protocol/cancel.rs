//! Cancelling an answer: upstream is aborted, and the text the visitor has seen is stored.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{contents, cursor_at};
use crate::support::client::chat::{Chat, receive_text};
use crate::support::upstream::script::Script;

on_both_stores! {
    async fn cancelled_answer_is_stored_up_to_the_last_delta_seen(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream
            .queue(Script::from_words(&["One ", "two ", "three ", "four "]).no_usage().hang_after(4));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let last = receive_text(&mut chat.visitor, "One two three four ").await;
        let cancelled_at = Instant::now();
        chat.visitor.send(json!({"type": "cancel", "turn_id": last["turn_id"], "seen_seq": 2})).await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 4);
        assert!(cancelled_at.elapsed() < Duration::from_secs(1), "{:?}", cancelled_at.elapsed());

        let end = chat.visitor.receive_rest().await;
        assert_eq!((end.text.as_str(), end.status(), &end.done["durable"]), ("", "cancelled", &json!(true)));

        let kept = store.query_texts("SELECT content FROM messages WHERE role = 'assistant'").await;
        assert_eq!(kept, ["One two "]);
        assert_eq!(
            contents(&chat.visitor.history(json!({})).await["messages"]),
            ["Count, please.", "One two "]
        );

        chat.visitor.ask_and_wait("And now?").await;
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;

        assert_eq!(prompt.conversation(), ["Count, please.", "One two ", "And now?"]);

        for restarts in [false, true] {
            if restarts {
                chat.kill_and_restart().await;
            } else {
                chat.visitor = chat.connect().await;
            }
            chat.visitor.resume(&session, Value::Null).await;
            chat.visitor.ask_with_id("q1", "Count, please.").await;
            let again = chat.visitor.receive_answer().await;
            assert_eq!((again.text.as_str(), again.status()), ("One two ", "cancelled"));
            assert_eq!(again.done["usage"], end.done["usage"]);
        }
    }

    async fn cancelled_answer_resumes_only_up_to_its_stored_end(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two ", "three "]).hang_after(3));

        chat.visitor.ask("Count, please.").await;
        let last = receive_text(&mut chat.visitor, "One two three ").await;
        chat.visitor.send(json!({"type": "cancel", "seen_seq": 1})).await;
        chat.visitor.receive_until("done").await;

        for restarts in [false, true] {
            if restarts {
                chat.kill_and_restart().await;
            }
            let mut other = chat.connect().await;
            let back = other.resume(&session, json!({"turn_id": last["turn_id"], "seq": 0})).await.frame;
            assert_eq!(back["recovered"], true);
            let rest = other.receive_rest().await;
            assert_eq!((rest.text.as_str(), rest.status()), ("One ", "cancelled"));
            let mut other = chat.connect().await;
            assert_eq!(other.resume(&session, cursor_at(&last)).await.frame["recovered"], false);
        }
    }

    async fn seen_seq_beyond_the_last_delta_keeps_the_whole_text(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        for (seen, kept) in [(json!(1000), "One two "), (json!(0), "")] {
            chat.upstream.queue(Script::from_words(&["One ", "two "]).hang_after(2));
            chat.visitor.ask("Count, please.").await;
            receive_text(&mut chat.visitor, "One two ").await;
            chat.visitor.send(json!({"type": "cancel", "seen_seq": seen})).await;
            assert_eq!(chat.visitor.receive_rest().await.status(), "cancelled");
            let stored =
                "SELECT content FROM messages WHERE role = 'assistant' ORDER BY turn_id DESC LIMIT 1";
            assert_eq!(store.query_texts(stored).await, [kept]);
        }
    }
}

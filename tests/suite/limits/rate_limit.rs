//! The rate limit of a session.

use serde_json::json;

use crate::on_both_stores;
use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const THREE_PER_MINUTE: (&str, &str) = ("RATE_LIMIT_REQUESTS_PER_MINUTE", "3");

async fn expect_rate_limited(visitor: &mut ChatClient) {
    visitor.ask_with_id("one-too-many", "One more?").await;
    let error = visitor.expect_error("RATE_LIMIT_EXCEEDED").await;
    let wait = error["retry_after_ms"].as_u64().unwrap_or_default();
    assert!((1..=60_000).contains(&wait), "{error}");
    assert_eq!((&error["retryable"], &error["id"]), (&json!(true), &json!("one-too-many")));
}

on_both_stores! {
    async fn rate_limit_survives_resume_and_restart(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[THREE_PER_MINUTE]).await;
        let session = chat.visitor.start().await;
        assert_eq!(session.frame["limits"]["remaining"], 3);

        for left in [2, 1, 0] {
            let answer = chat.visitor.ask_and_wait("Who?").await;
            assert_eq!(
                (&answer.accepted["remaining"], &answer.done["remaining"]),
                (&json!(left), &json!(left))
            );
        }

        expect_rate_limited(&mut chat.visitor).await;
        assert_eq!(chat.upstream.requests().len(), 3);

        let mut again = chat.connect().await;
        assert_eq!(again.resume(&session, json!(null)).await.frame["limits"]["remaining"], 0);
        expect_rate_limited(&mut again).await;

        chat.server.restart().await;
        let mut afterwards = chat.connect().await;
        assert_eq!(afterwards.resume(&session, json!(null)).await.frame["limits"]["remaining"], 0);
        expect_rate_limited(&mut afterwards).await;
        assert_eq!(chat.upstream.requests().len(), 3);
    }

    async fn question_older_than_a_minute_no_longer_counts(store: FreshStore) {
        let chat = Chat::with_store(&store, &[THREE_PER_MINUTE]).await;
        let mut visitor = chat.connect().await;
        let session = visitor.start().await;

        for _ in 0..3 {
            visitor.ask_and_wait("Who?").await;
        }
        store.execute("UPDATE turns SET asked_at_ms = asked_at_ms - 60000").await;
        let mut again = chat.connect().await;

        assert_eq!(again.resume(&session, json!(null)).await.frame["limits"]["remaining"], 3);
        assert_eq!(again.ask_and_wait("Who?").await.done["remaining"], 2);
    }

    async fn resume_counts_questions_beyond_the_loaded_history(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "110")]).await;
        let session = chat.visitor.start().await;

        for _ in 0..102 {
            chat.visitor.ask_and_wait("Who?").await;
        }
        let back = chat.connect().await.resume(&session, json!(null)).await.frame;

        assert_eq!((&back["limits"]["remaining"], &back["more"]), (&json!(8), &json!(true)), "{back}");
    }
}

#[tokio::test]
async fn rejected_and_repeated_questions_do_not_count() {
    let mut chat = Chat::new(&[THREE_PER_MINUTE]).await;
    chat.visitor.start().await;

    chat.visitor.ask(&"x".repeat(2_001)).await;
    chat.visitor.expect_error("MESSAGE_TOO_LONG").await;

    chat.visitor.ask(" ").await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;

    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One."]).hold_before_headers(&gate));

    chat.visitor.ask("Count, please.").await;
    assert_eq!(chat.visitor.expect_frame("accepted").await["remaining"], 2);

    chat.visitor.ask("And now?").await;
    chat.visitor.expect_error("TURN_IN_PROGRESS").await;

    gate.open();
    assert_eq!(chat.visitor.receive_rest().await.done["remaining"], 2);

    chat.visitor.ask_with_id("a", "Who?").await;
    assert_eq!(chat.visitor.receive_answer().await.done["remaining"], 1);

    chat.visitor.ask_with_id("a", "Who?").await;
    let again = chat.visitor.receive_answer().await;
    assert_eq!((&again.accepted["duplicate"], &again.done["remaining"]), (&json!(true), &json!(1)));
}

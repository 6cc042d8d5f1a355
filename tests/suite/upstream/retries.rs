//! Retries: which failures are retried, how often, with which model, and what the client sees of
//! it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const NO_EXCERPTS: (&str, &str) = ("DEGRADED_MODE", "off");

fn broken_answer(words: &[&str]) -> Script {
    Script::from_words(words).drop_connection_after(words.len())
}

fn count_resets(answer: &Answer) -> usize {
    answer.other_frames.iter().filter(|frame| frame["type"] == "reset").count()
}

/// Waits for the log entry of a retry.
async fn wait_for_retry(chat: &Chat) -> Value {
    let is_retry = |entry: &Value| entry["msg"] == "retrying upstream request";
    chat.server.wait_for_log("the retry", is_retry).await
}

#[tokio::test]
async fn failure_before_the_first_delta_is_retried_silently() {
    let mut chat = Chat::new(&[]).await;
    for script in [
        Script::rejection(502, "no"),
        Script::rejection(429, "no"),
        Script::new().drop_connection_after(0),
        Script::new().bytes(": hm\n\n").error_in_stream("server_error", "no"),
        Script::new().delta(json!({"content": ""})),
    ] {
        chat.upstream.queue(script).queue(Script::from_words(&["Here ", "it is."]));
        let answer = chat.visitor.ask_and_wait("Is it there?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Here it is.", "complete"), "{answer:?}");
        assert_eq!(
            (count_resets(&answer), answer.seqs.last(), &answer.done["mode"]),
            (0, Some(&2), &json!("live"))
        );
        assert!(answer.other_frames.iter().all(|frame| frame["type"] != "notice"), "{answer:?}");
    }

    assert_eq!(chat.upstream.requests().len(), 10);

    let line = wait_for_retry(&chat).await;
    assert_eq!(
        (&line["how"], &line["may_be_charged_twice"]),
        (&json!("same_model"), &json!(false)),
        "{line}"
    );
    assert!(line["turn_id"].is_string() && line["cause"].as_str().unwrap().contains("502"), "{line}");
}

#[tokio::test]
async fn retry_waits_for_retry_after() {
    let mut chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::new().http_error(
        429,
        json!({"error": {"code": 429}}),
        &[("Retry-After", "1")],
    ));

    let asked_at = Instant::now();
    assert_eq!(chat.visitor.ask_and_wait("Is it there?").await.status(), "complete");
    assert!(asked_at.elapsed() >= Duration::from_secs(1), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let mut chat = Chat::new(&[NO_EXCERPTS, ("LLM_BREAKER_FAILURES", "0")]).await;
    let not_retryable =
        json!({"error": {"code": 503, "message": "no", "availability": {"retryable": false}}});
    let daily_limit = "Rate limit exceeded: free-models-per-day";

    for (number, script) in [400, 401, 402, 403, 404]
        .map(|status| Script::rejection(status, "no"))
        .into_iter()
        .chain([Script::rejection(429, daily_limit), Script::new().http_error(503, not_retryable, &[])])
        .enumerate()
    {
        chat.upstream.queue(script);
        assert_eq!(chat.visitor.ask_and_wait("Is it there?").await.status(), "failed", "{number}");
        assert_eq!(chat.upstream.requests().len(), number + 1);
    }
}

#[tokio::test]
async fn retries_are_limited_in_number() {
    let mut chat = Chat::new(&[NO_EXCERPTS, ("LLM_MAX_RETRIES", "3")]).await;
    chat.upstream.always(Script::rejection(500, "no"));

    assert_eq!(chat.visitor.ask_and_wait("Is it there?").await.status(), "failed");
    assert_eq!(chat.upstream.requests().len(), 4);
}

#[tokio::test]
async fn retries_are_limited_in_time_and_end_with_excerpts() {
    let mut chat = Chat::new(&[("LLM_FIRST_WORD_TIMEOUT", "400ms"), ("LLM_MAX_RETRIES", "10")]).await;
    chat.upstream.queue(Script::rejection(500, "no")).always(Script::new().hang_before_headers());

    let asked_at = Instant::now();
    chat.visitor.ask("What was done at Northwind Rail?").await;
    chat.visitor.receive_until("delta").await;

    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
    assert_eq!(chat.visitor.receive_rest().await.done["mode"], "excerpts");
    assert_eq!(chat.upstream.requests().len(), 2);
}

on_both_stores! {
    async fn retry_resets_the_partial_answer_and_logs_its_cost(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(broken_answer(&["Some ", "void ", "words "]).generation("gen-void"));
        chat.upstream.queue(Script::from_words(&["Better ", "ones."]));

        chat.visitor.ask("What is it?").await;
        receive_text(&mut chat.visitor, "Some void words ").await;
        let answer = chat.visitor.receive_rest().await;

        assert_eq!((answer.text.as_str(), answer.status()), ("Better ones.", "complete"));
        assert_eq!((count_resets(&answer), answer.seqs.last()), (1, Some(&2)), "{answer:?}");

        let kept = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'Better ones.'";
        assert_eq!(store.query_number(kept).await, 1);

        let line = wait_for_retry(&chat).await;
        assert_eq!(
            (&line["may_be_charged_twice"], &line["void_bytes"]),
            (&json!(true), &json!(16)),
            "{line}"
        );
        assert_eq!(line["source_id"], "gen-void");
    }

    async fn partial_answer_is_kept_if_the_retry_fails(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("LLM_MAX_RETRIES", "1")]).await;
        chat.upstream.queue(broken_answer(&["Some ", "words "])).queue(Script::rejection(500, "no"));

        let answer = chat.visitor.ask_and_wait("What is it?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Some words ", "failed"));
        assert_eq!((&answer.error["code"], &answer.done["mode"]), (&json!("API_ERROR"), &json!("live")));
        assert_eq!(count_resets(&answer), 0);

        wait_until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'Some words '", 1).await;
    }

    async fn cursor_of_a_discarded_attempt_is_not_recovered(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let (failure_gate, answer_gate) = (Gate::default(), Gate::default());
        chat.upstream.queue(
            Script::from_words(&["Some ", "void "]).hold_after(2, &failure_gate).drop_connection_after(2),
        );
        chat.upstream
            .queue(Script::from_words(&["One ", "two ", "three ", "four."]).hold_after(3, &answer_gate));
        let session = chat.visitor.start().await;

        chat.visitor.ask("Count, please.").await;
        let discarded = receive_text(&mut chat.visitor, "Some void ").await;
        chat.drop_and_reconnect().await;
        chat.server.wait_for_log("the lost connection", |entry| entry["msg"] == "session closed").await;
        failure_gate.open();
        // A second connection receives the new deltas.
        let mut witness = chat.connect().await;
        witness.resume(&session, Value::Null).await;
        let counted = receive_text_after_reset(&mut witness, "One two three ").await;
        drop(witness);
        let back = chat.visitor.resume(&session, cursor_at(&discarded)).await;

        assert_eq!(back.frame["recovered"], false, "delta 2 may be of the discarded attempt: {}", back.frame);

        receive_text(&mut chat.visitor, "One two three ").await;
        let mut third = chat.connect().await;
        let back = third.resume(&session, cursor_at(&counted)).await;

        assert_eq!(back.frame["recovered"], true, "delta 3 can only be of the new attempt: {}", back.frame);

        answer_gate.open();
        assert_eq!(third.receive_rest().await.text, "four.");
    }
}

/// Receives deltas until the text since the last reset equals `text`. Returns the last delta.
async fn receive_text_after_reset(
    visitor: &mut crate::support::client::chat_client::ChatClient,
    text: &str,
) -> Value {
    let mut received = String::new();
    loop {
        let frame = visitor.receive().await;
        match frame["type"].as_str() {
            Some("reset") => received.clear(),
            Some("delta") => received.push_str(frame["text"].as_str().unwrap_or_default()),
            _ => {}
        }
        if received == text {
            return frame;
        }
    }
}

#[tokio::test]
async fn fallback_models_are_tried_in_order() {
    let models = ("LLM_FALLBACK_MODELS", "test/second, test/third");
    let mut chat = Chat::new(&[models, ("LLM_MAX_RETRIES", "0")]).await;
    chat.upstream.queue(Script::rejection(404, "no such model")).queue(broken_answer(&["Void "]));
    let answer = chat.visitor.ask_and_wait("Who answers?").await;

    assert_eq!((answer.status(), &answer.done["model"]), ("complete", &json!("test/third")));

    let asked: Vec<Value> =
        chat.upstream.requests().iter().map(|request| request.body["model"].clone()).collect();
    assert_eq!(asked, ["test/model", "test/second", "test/third"]);

    let line = wait_for_retry(&chat).await;
    assert_eq!(line["how"], "other_model");
}

#[tokio::test]
async fn openrouter_requests_carry_fallback_models_and_a_session_id() {
    let settings = [
        ("LLM_FALLBACK_MODELS", "test/second, test/third"),
        ("LLM_APP_URL", "https://ada.example"),
        ("LLM_APP_TITLE", "Ask Ada"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100"),
        ("LLM_PRICE_PROMPT", "0.15"),
        ("LLM_PRICE_COMPLETION", "0.6"),
    ];
    let mut chat = Chat::with_openrouter(&settings).await;
    chat.upstream.queue(Script::from_words(&["A."]).model("test/third"));

    let answer = chat.visitor.ask_and_wait("Who answers?").await;
    assert_eq!((answer.status(), &answer.done["model"]), ("complete", &json!("test/third")));

    chat.visitor.ask_and_wait("And now?").await;
    let mut other = chat.connect().await;
    other.ask_and_wait("Who is there?").await;
    let requests = chat.upstream.requests();

    for request in &requests {
        assert_eq!(request.path, "http://openrouter.ai/api/v1/chat/completions");
        assert_eq!(request.body["models"], json!(["test/second", "test/third"]));
        assert_eq!(request.body["plugins"], json!([{"id": "context-compression", "enabled": false}]));
        assert_eq!(request.body["max_tokens"], 2000);
        assert_eq!(request.body["provider"], json!({"max_price": {"prompt": 0.15, "completion": 0.6}}));
        assert_eq!(request.body.get("stream_options"), None, "deprecated and without effect at OpenRouter");
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(header("http-referer"), Some("https://ada.example"));
        assert_eq!(header("x-openrouter-title"), Some("Ask Ada"));
        assert_eq!(header("accept-encoding"), Some("identity"));
    }

    let id = |number: usize| requests[number].body["session_id"].as_str().unwrap().to_owned();
    assert_eq!((id(0), id(0).len()), (id(1), 32));
    assert_ne!(id(0), id(2));

    let frames = json!(chat.visitor.frames()).to_string();
    assert!(!frames.contains(&id(0)), "the session id sent upstream must not reach the visitor");

    let system = |number: usize| &requests[number].messages()[0];
    assert_eq!(
        (system(0), system(0)),
        (system(1), system(2)),
        "the system prompt must stay constant for caching"
    );
}

#[tokio::test]
async fn too_long_prompt_is_retried_without_its_older_half() {
    let mut chat = Chat::new(&[NO_EXCERPTS]).await;
    for question in ["One?", "Two?", "Three?", "Four?"] {
        chat.upstream.queue(Script::from_words(&["Yes."]));
        chat.visitor.ask_and_wait(question).await;
    }

    let too_long = || {
        let metadata = json!({"error_type": "context_length_exceeded"});
        Script::new().http_error(
            400,
            json!({"error": {"code": 400, "message": "no", "metadata": metadata}}),
            &[],
        )
    };
    chat.upstream.queue(too_long()).queue(Script::from_words(&["In short, yes."]));

    let answer = chat.visitor.ask_and_wait("Five?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("In short, yes.", "complete"));

    let retry = chat.upstream.requests().pop().unwrap();
    assert_eq!(retry.conversation(), ["Three?", "Yes.", "Four?", "Yes.", "Five?"]);

    assert_eq!(wait_for_retry(&chat).await["how"], "shorter_prompt");

    chat.upstream.queue(too_long()).queue(too_long());
    let answer = chat.visitor.ask_and_wait("Six?").await;
    assert_eq!((answer.status(), &answer.error["code"]), ("failed", &json!("MESSAGE_TOO_LONG")));
    assert_eq!(answer.error["retryable"], false);
    assert_eq!(chat.upstream.requests().len(), 8);
    assert_eq!(chat.visitor.ask_and_wait("Seven?").await.status(), "complete");
}

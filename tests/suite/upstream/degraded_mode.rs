//! Degraded mode: resume excerpts instead of errors while the model is down, and the circuit
//! breaker.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::Answer;
use crate::support::client::chat::Chat;
use crate::support::client::http::get;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// One failure opens the circuit breaker.
const BREAKER: [(&str, &str); 2] = [("LLM_BREAKER_FAILURES", "1"), ("LLM_MAX_RETRIES", "0")];
const LONG_PAUSE: (&str, &str) = ("LLM_BREAKER_PAUSE", "5m");
const SHORT_PAUSE: (&str, &str) = ("LLM_BREAKER_PAUSE", "1ms");

const QUESTION: &str = "What was done at Northwind Rail?";

fn model_down() -> Script {
    Script::rejection(500, "no")
}

fn notice_codes(answer: &Answer) -> Vec<&Value> {
    answer.other_frames.iter().filter(|frame| frame["type"] == "notice").map(|frame| &frame["code"]).collect()
}

/// Checks that an answer consists of resume excerpts.
fn assert_excerpts(answer: &Answer) {
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &json!("excerpts")), "{answer:?}");
    assert!(
        answer.text.contains("> - Northwind Rail") && !answer.done["citations"][0].is_null(),
        "{answer:?}"
    );
    assert_eq!(answer.done["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0}));
    assert!(answer.done.get("model").is_none() && answer.error.is_null(), "{answer:?}");
}

on_both_stores! {
    async fn visitors_get_excerpts_while_the_model_is_down_and_notices_at_both_ends(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[BREAKER[0], BREAKER[1], SHORT_PAUSE]).await;
        chat.upstream.queue(model_down()).queue(model_down());

        let first = chat.visitor.ask_and_wait(QUESTION).await;
        assert_excerpts(&first);
        assert_eq!(notice_codes(&first), ["DEGRADED"]);

        let second = chat.visitor.ask_and_wait(QUESTION).await;
        assert_excerpts(&second);
        assert!(notice_codes(&second).is_empty(), "repeated notice: {second:?}");

        let third = chat.visitor.ask_and_wait(QUESTION).await;
        assert_eq!((third.status(), &third.done["mode"]), ("complete", &json!("live")));
        assert_eq!(notice_codes(&third), ["RECOVERED"]);
        assert!(notice_codes(&chat.visitor.ask_and_wait(QUESTION).await).is_empty());

        let count_by_mode =
            |mode: &str| format!("SELECT count(*) FROM turns WHERE mode = '{mode}' AND status = 'complete'");
        assert_eq!(store.query_number(&count_by_mode("excerpts")).await, 2);
        assert_eq!(store.query_number(&count_by_mode("live")).await, 2);
    }
}

#[tokio::test]
async fn open_breaker_sends_no_requests_and_new_sessions_start_degraded() {
    let mut chat = Chat::new(&[("LLM_BREAKER_FAILURES", "2"), BREAKER[1], LONG_PAUSE]).await;
    chat.upstream.always(model_down());

    for requests in [1, 2, 2, 2] {
        assert_excerpts(&chat.visitor.ask_and_wait(QUESTION).await);
        assert_eq!(chat.upstream.requests().len(), requests);
    }

    let mut other = chat.connect().await;
    assert_eq!(other.start().await.frame["mode"], "excerpts");

    let answer = other.ask_and_wait(QUESTION).await;
    assert_excerpts(&answer);
    assert!(notice_codes(&answer).is_empty(), "repeated notice: {answer:?}");

    let health = get(&chat.server, "/health?deep=true").await;
    let llm = health.json()["checks"]["llm"].clone();
    assert_eq!((health.status, &llm["status"]), (503, &json!("degraded")), "{llm}");

    let detail = llm["detail"].as_str().unwrap();
    assert!(detail.contains("breaker open for") && detail.contains("after 2 failures"), "{detail}");
    assert_eq!(
        get(&chat.server, "/health/ready").await.status,
        200,
        "not ready although excerpts are available"
    );

    let metrics =
        crate::support::client::http::get_url(&chat.server.operator_url("/metrics").await).await.body;
    for line in [
        "answer_fallbacks_total{reason=\"breaker_open\"} 3",
        "answer_fallbacks_total{reason=\"model_failed\"} 2",
        "upstream_breaker_openings_total 1",
        "upstream_requests_total{outcome=\"failed\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    assert_eq!(chat.upstream.requests().len(), 2, "the health check sent a completion request");
}

#[tokio::test]
async fn half_open_breaker_probes_with_one_question() {
    let mut chat = Chat::new(&[BREAKER[0], BREAKER[1], SHORT_PAUSE]).await;
    let mut other = chat.connect().await;
    other.start().await;
    let gate = Gate::default();
    chat.upstream.queue(model_down()).queue(Script::from_words(&["Back."]).hold_before_headers(&gate));

    assert_excerpts(&chat.visitor.ask_and_wait(QUESTION).await);

    chat.visitor.ask(QUESTION).await;
    for _ in 0..2 {
        chat.upstream.next_request().await;
    }
    assert_excerpts(&other.ask_and_wait(QUESTION).await);

    gate.open();
    assert_eq!(chat.visitor.receive_answer().await.text, "Back.");
    assert_eq!(other.ask_and_wait(QUESTION).await.done["mode"], "live");
    assert_eq!(chat.upstream.requests().len(), 3);
}

#[tokio::test]
async fn open_breaker_prevents_retries() {
    let mut chat = Chat::new(&[BREAKER[0], ("LLM_MAX_RETRIES", "2"), LONG_PAUSE]).await;
    chat.upstream.always(model_down());
    assert_excerpts(&chat.visitor.ask_and_wait(QUESTION).await);
    assert_eq!(chat.upstream.requests().len(), 1);

    let is_fallback = |entry: &Value| entry["msg"] == "upstream unavailable, falling back to resume excerpts";
    chat.server.wait_for_log("the fallback to excerpts", is_fallback).await;
    let is_retry = |entry: &Value| entry["msg"] == "retrying upstream request";

    assert!(!chat.server.logs().iter().any(is_retry), "unexpected retry: {:?}", chat.server.logs());
}

#[tokio::test]
async fn first_delta_of_the_probe_closes_the_breaker() {
    let mut chat = Chat::new(&[BREAKER[0], BREAKER[1], SHORT_PAUSE]).await;
    let mut other = chat.connect().await;
    let gate = Gate::default();
    chat.upstream.queue(model_down()).queue(Script::from_words(&["A ", "long answer."]).hold_after(1, &gate));

    assert_excerpts(&chat.visitor.ask_and_wait(QUESTION).await);

    chat.visitor.ask(QUESTION).await;
    chat.visitor.receive_until("delta").await;
    assert_eq!(other.ask_and_wait(QUESTION).await.done["mode"], "live");

    gate.open();
    assert_eq!(chat.visitor.receive_rest().await.text, "long answer.");
}

#[tokio::test]
async fn cancelled_probe_leaves_the_breaker_half_open() {
    let mut chat = Chat::new(&[BREAKER[0], BREAKER[1], SHORT_PAUSE]).await;
    chat.upstream.queue(model_down()).queue(Script::new().hang_before_headers());
    assert_excerpts(&chat.visitor.ask_and_wait(QUESTION).await);

    chat.visitor.ask(QUESTION).await;
    chat.visitor.receive_until("accepted").await;
    for _ in 0..2 {
        chat.upstream.next_request().await;
    }
    chat.visitor.send(json!({"type": "cancel"})).await;

    assert_eq!(chat.visitor.receive_rest().await.status(), "cancelled");
    assert_eq!(chat.visitor.ask_and_wait(QUESTION).await.done["mode"], "live");
}

#[tokio::test]
async fn open_breaker_without_excerpts_rejects_with_retry_after() {
    let mut chat = Chat::new(&[BREAKER[0], BREAKER[1], LONG_PAUSE, ("DEGRADED_MODE", "off")]).await;
    chat.upstream.queue(model_down());

    let failed = chat.visitor.ask_and_wait(QUESTION).await;
    assert_eq!((failed.status(), &failed.error["code"]), ("failed", &json!("API_ERROR")));

    chat.visitor.ask(QUESTION).await;
    let rejected = chat.visitor.expect_error("API_ERROR").await;
    let wait = rejected["retry_after_ms"].as_u64().unwrap();

    assert!(wait > 200_000 && wait <= 300_000, "{rejected}");

    // The first request may share a run of the checks that began before the outage.
    get(&chat.server, "/health?deep=true").await;
    let health = get(&chat.server, "/health?deep=true").await.json();
    assert_eq!(health["checks"]["llm"]["status"], "unhealthy", "{health}");
    assert_eq!(get(&chat.server, "/health/ready").await.status, 503);
    assert!(rejected.get("turn_id").is_none(), "a rejected question has a turn: {rejected}");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn errors_caused_by_the_question_do_not_open_the_breaker() {
    let mut chat = Chat::new(&[BREAKER[0], BREAKER[1], LONG_PAUSE]).await;
    let flagged = json!({"error": {"code": 403, "message": "no", "metadata": {"reasons": ["violence"]}}});

    for script in [
        Script::rejection(400, "no"),
        Script::new().http_error(403, flagged, &[]),
        Script::rejection(413, "too long"),
        Script::new().finish("content_filter"),
    ] {
        chat.upstream.queue(script);
        let answer = chat.visitor.ask_and_wait(QUESTION).await;
        assert_eq!((answer.status(), &answer.done["mode"]), ("failed", &json!("live")), "{answer:?}");
    }

    let answer = chat.visitor.ask_and_wait(QUESTION).await;
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &json!("live")));
}

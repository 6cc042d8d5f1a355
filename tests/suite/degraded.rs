//! While the model is down: quotes instead of errors, said to be quotes, and no longer than it is down.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::Answer;
use crate::support::chat::Chat;
use crate::support::gate::Gate;
use crate::support::http::get;
use crate::support::script::Script;

/// One failure opens the breaker, for this long.
const BREAKER: [(&str, &str); 2] = [("LLM_BREAKER_FAILURES", "1"), ("LLM_MAX_RETRIES", "0")];
const LONG: (&str, &str) = ("LLM_BREAKER_PAUSE", "5m");
const SHORT: (&str, &str) = ("LLM_BREAKER_PAUSE", "1ms");

const QUESTION: &str = "What was done at Northwind Rail?";

fn down() -> Script {
    Script::refusal(500, "no")
}

fn notices(answer: &Answer) -> Vec<&Value> {
    answer.others.iter().filter(|frame| frame["type"] == "notice").map(|frame| &frame["code"]).collect()
}

/// That an answer quotes the resume, and says so.
fn assert_quoted(answer: &Answer) {
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &json!("excerpts")), "{answer:?}");
    assert!(
        answer.text.contains("> - Northwind Rail") && !answer.done["citations"][0].is_null(),
        "{answer:?}"
    );
    assert_eq!(answer.done["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0}));
    assert!(answer.done.get("model").is_none() && answer.error.is_null(), "{answer:?}");
}

on_both_stores! {
    async fn visitors_get_quotes_while_the_model_is_down_and_are_told_when_it_is_and_when_it_is_back(store: FreshStore) {
        let mut chat = Chat::on(&store, &[BREAKER[0], BREAKER[1], SHORT]).await;
        chat.upstream.queue(down()).queue(down());
        let first = chat.visitor.ask_and_hear(QUESTION).await;
        assert_quoted(&first);
        assert_eq!(notices(&first), ["DEGRADED"]);
        let second = chat.visitor.ask_and_hear(QUESTION).await;
        assert_quoted(&second);
        assert!(notices(&second).is_empty(), "it was said before: {second:?}");
        let third = chat.visitor.ask_and_hear(QUESTION).await;
        assert_eq!((third.status(), &third.done["mode"]), ("complete", &json!("live")));
        assert_eq!(notices(&third), ["RECOVERED"]);
        assert!(notices(&chat.visitor.ask_and_hear(QUESTION).await).is_empty());
        let kept = |mode: &str| format!("SELECT count(*) FROM turns WHERE mode = '{mode}' AND status = 'complete'");
        assert_eq!(store.number(&kept("excerpts")).await, 2);
        assert_eq!(store.number(&kept("live")).await, 2);
    }
}

#[tokio::test]
async fn a_server_that_failed_often_is_not_asked_and_a_new_visitor_is_told_so_at_once() {
    let mut chat = Chat::with(&[("LLM_BREAKER_FAILURES", "2"), BREAKER[1], LONG]).await;
    chat.upstream.always(down());
    for asked in [1, 2, 2, 2] {
        assert_quoted(&chat.visitor.ask_and_hear(QUESTION).await);
        assert_eq!(chat.upstream.requests().len(), asked);
    }
    let mut other = chat.another().await;
    assert_eq!(other.start().await.frame["mode"], "excerpts");
    let answer = other.ask_and_hear(QUESTION).await;
    assert_quoted(&answer);
    assert!(notices(&answer).is_empty(), "the session frame said so: {answer:?}");
    let health = get(&chat.server, "/health?deep=true").await;
    let llm = health.json()["checks"]["llm"].clone();
    assert_eq!((health.status, &llm["status"]), (503, &json!("degraded")), "{llm}");
    let detail = llm["detail"].as_str().unwrap();
    assert!(detail.contains("breaker open for") && detail.contains("after 2 failures"), "{detail}");
    assert_eq!(get(&chat.server, "/health/ready").await.status, 200, "visitors may come for quotes");
    let metrics = crate::support::http::get_url(&chat.server.operator_url("/metrics").await).await.body;
    for line in [
        "answer_fallbacks_total{reason=\"breaker_open\"} 3",
        "answer_fallbacks_total{reason=\"model_failed\"} 2",
        "upstream_breaker_openings_total 1",
        "upstream_requests_total{outcome=\"failed\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(chat.upstream.requests().len(), 2, "health asks the model nothing");
}

#[tokio::test]
async fn one_question_finds_out_whether_the_model_is_back_while_the_others_get_quotes() {
    let mut chat = Chat::with(&[BREAKER[0], BREAKER[1], SHORT]).await;
    let mut other = chat.another().await;
    other.start().await;
    let gate = Gate::default();
    chat.upstream.queue(down()).queue(Script::of(&["Back."]).hold_before_headers(&gate));
    assert_quoted(&chat.visitor.ask_and_hear(QUESTION).await);
    chat.visitor.ask(QUESTION).await;
    for _ in 0..2 {
        chat.upstream.next_request().await;
    }
    assert_quoted(&other.ask_and_hear(QUESTION).await);
    gate.open();
    assert_eq!(chat.visitor.answer().await.text, "Back.");
    assert_eq!(other.ask_and_hear(QUESTION).await.done["mode"], "live");
    assert_eq!(chat.upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_no_longer_to_be_asked_is_not_asked_again_either() {
    let mut chat = Chat::with(&[BREAKER[0], ("LLM_MAX_RETRIES", "2"), LONG]).await;
    chat.upstream.always(down());
    assert_quoted(&chat.visitor.ask_and_hear(QUESTION).await);
    assert_eq!(chat.upstream.requests().len(), 1);
    let quoted = |entry: &Value| entry["msg"] == "the resume answers instead of the model";
    chat.server.wait_for_log("why the resume answers", quoted).await;
    let once_more = |entry: &Value| entry["msg"] == "asking once more for the same answer";
    assert!(
        !chat.server.logs().iter().any(once_more),
        "nothing was asked once more: {:?}",
        chat.server.logs()
    );
}

#[tokio::test]
async fn the_first_word_of_a_probe_brings_the_model_back_for_all() {
    let mut chat = Chat::with(&[BREAKER[0], BREAKER[1], SHORT]).await;
    let mut other = chat.another().await;
    let gate = Gate::default();
    chat.upstream.queue(down()).queue(Script::of(&["A ", "long answer."]).hold_after(1, &gate));
    assert_quoted(&chat.visitor.ask_and_hear(QUESTION).await);
    chat.visitor.ask(QUESTION).await;
    chat.visitor.hear_until("delta").await;
    assert_eq!(other.ask_and_hear(QUESTION).await.done["mode"], "live");
    gate.open();
    assert_eq!(chat.visitor.rest_of_answer().await.text, "long answer.");
}

#[tokio::test]
async fn a_probe_that_its_visitor_stops_leaves_the_next_question_to_find_out() {
    let mut chat = Chat::with(&[BREAKER[0], BREAKER[1], SHORT]).await;
    chat.upstream.queue(down()).queue(Script::new().hang_before_headers());
    assert_quoted(&chat.visitor.ask_and_hear(QUESTION).await);
    chat.visitor.ask(QUESTION).await;
    chat.visitor.hear_until("accepted").await;
    for _ in 0..2 {
        chat.upstream.next_request().await;
    }
    chat.visitor.say(json!({"type": "cancel"})).await;
    assert_eq!(chat.visitor.rest_of_answer().await.status(), "cancelled");
    assert_eq!(chat.visitor.ask_and_hear(QUESTION).await.done["mode"], "live");
}

#[tokio::test]
async fn an_owner_who_wants_no_quotes_has_errors_and_says_when_to_try_again() {
    let mut chat = Chat::with(&[BREAKER[0], BREAKER[1], LONG, ("DEGRADED_MODE", "off")]).await;
    chat.upstream.queue(down());
    let failed = chat.visitor.ask_and_hear(QUESTION).await;
    assert_eq!((failed.status(), &failed.error["code"]), ("failed", &json!("API_ERROR")));
    chat.visitor.ask(QUESTION).await;
    let refused = chat.visitor.hear_error("API_ERROR").await;
    let wait = refused["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 200_000 && wait <= 300_000, "{refused}");
    let health = get(&chat.server, "/health?deep=true").await.json();
    assert_eq!(health["checks"]["llm"]["status"], "unhealthy", "{health}");
    assert_eq!(get(&chat.server, "/health/ready").await.status, 503);
    assert!(refused.get("turn_id").is_none(), "it was never taken: {refused}");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_a_question_brings_about_itself_keeps_the_model_from_nobody() {
    let mut chat = Chat::with(&[BREAKER[0], BREAKER[1], LONG]).await;
    let flagged = json!({"error": {"code": 403, "message": "no", "metadata": {"reasons": ["violence"]}}});
    for script in [
        Script::refusal(400, "no"),
        Script::new().http_error(403, flagged, &[]),
        Script::refusal(413, "too long"),
        Script::new().finish("content_filter"),
    ] {
        chat.upstream.queue(script);
        let answer = chat.visitor.ask_and_hear(QUESTION).await;
        assert_eq!((answer.status(), &answer.done["mode"]), ("failed", &json!("live")), "{answer:?}");
    }
    let answer = chat.visitor.ask_and_hear(QUESTION).await;
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &json!("live")));
}

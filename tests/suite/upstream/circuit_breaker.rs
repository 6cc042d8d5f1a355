//! When the circuit breaker opens: by the share of failures, and by a refusal that meets every
//! visitor.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::upstream::script::Script;
use crate::support::within;

const QUESTION: &str = "What was done at Northwind Rail?";
const LONG_PAUSE: (&str, &str) = ("LLM_BREAKER_PAUSE", "5m");
const NO_RETRIES: (&str, &str) = ("LLM_MAX_RETRIES", "0");
const THREE: (&str, &str) = ("LLM_BREAKER_FAILURES", "3");

/// A refusal of the form of the request, which meets every question.
fn refused() -> Script {
    let error = json!({"code": "unsupported_value", "param": "seed", "message": "no such thing"});
    Script::new().http_error(400, json!({ "error": error }), &[])
}

fn is_live(answer: &Answer) -> bool {
    answer.status() == "complete" && answer.done["mode"] == "live"
}

fn is_refused(answer: &Answer) -> bool {
    answer.status() == "failed" && answer.error["code"] == "API_ERROR" && answer.error["retryable"] == false
}

fn has_excerpts(answer: &Answer) -> bool {
    answer.status() == "complete" && answer.done["mode"] == "excerpts"
}

/// Asks as a new visitor.
async fn ask(chat: &Chat) -> Answer {
    chat.connect().await.ask_and_wait(QUESTION).await
}

async fn ask_from(chat: &Chat, address: &str) -> Answer {
    let handshake = Handshake::new().with_local_address(address);
    let connected = ChatClient::connect_with(&chat.server, &handshake).await;
    connected.unwrap_or_else(|rejection| panic!("{rejection:?}")).ask_and_wait(QUESTION).await
}

async fn llm_check(chat: &Chat) -> Value {
    get(&chat.server, "/health?deep=true").await.json()["checks"]["llm"].clone()
}

async fn openings(chat: &Chat) -> f64 {
    Scrape::fetch(&chat.server).await.value("upstream_breaker_openings_total")
}

#[tokio::test]
async fn refusal_of_every_visitor_opens_the_breaker_and_is_named() {
    let chat = Chat::new(&[LONG_PAUSE, NO_RETRIES]).await;
    chat.upstream.always(refused());
    for _ in 0..4 {
        let answer = ask(&chat).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
    for _ in 0..3 {
        let answer = ask(&chat).await;
        assert!(has_excerpts(&answer), "{answer:?}");
    }
    assert_eq!(chat.upstream.requests().len(), 5);

    let is_opening = |entry: &Value| entry["msg"] == "circuit breaker opened";
    let line = chat.server.wait_for_log("the opening", is_opening).await;
    assert_eq!(
        (&line["reason"], &line["sessions"], &line["kind"], &line["one_address"]),
        (&json!("refusal"), &json!(5), &json!("bad_request"), &json!(true)),
        "{line}"
    );
    let identity = line["identity"].as_str().unwrap();
    assert!(identity.contains("unsupported_value") && identity.contains("seed"), "{line}");

    let llm = llm_check(&chat).await;
    let detail = llm["detail"].as_str().unwrap();
    assert_eq!(llm["status"], "degraded", "{llm}");
    assert!(detail.contains("refused 5 visitors") && detail.contains("bad_request"), "{detail}");
    assert!(detail.contains(identity), "{detail}");
    assert_eq!(get(&chat.server, "/health/ready").await.status, 200);
}

#[tokio::test]
async fn answer_to_the_probe_ends_an_outage_by_refusals() {
    let chat = Chat::new(&[THREE, ("LLM_BREAKER_PAUSE", "1ms"), NO_RETRIES]).await;
    for _ in 0..4 {
        chat.upstream.queue(refused());
    }
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ask(&chat).await);
    }
    assert!(answers[..2].iter().all(is_refused), "{answers:?}");
    // The visitor who opened the breaker, and the one whose question was the probe.
    assert!(answers[2..4].iter().all(has_excerpts), "{answers:?}");
    assert!(is_live(&answers[4]), "{answers:?}");
    assert_eq!(llm_check(&chat).await["status"], "healthy");
}

#[tokio::test]
async fn one_visitor_who_is_refused_does_not_open_the_breaker() {
    let settings = [THREE, LONG_PAUSE, NO_RETRIES, ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100")];
    let mut chat = Chat::new(&settings).await;
    chat.upstream.always(refused());
    for _ in 0..10 {
        let answer = chat.visitor.ask_and_wait(QUESTION).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
    assert_eq!(openings(&chat).await, 0.0);
}

#[tokio::test]
async fn answers_in_between_and_other_refusals_do_not_make_a_refusal_common() {
    let chat = Chat::new(&[THREE, LONG_PAUSE, NO_RETRIES]).await;
    for round in 0..3 {
        for _ in 0..2 {
            chat.upstream.queue(refused());
            assert!(is_refused(&ask(&chat).await), "{round}");
        }
        if round == 1 {
            chat.upstream.queue(Script::rejection(422, "no"));
            assert!(is_refused(&ask(&chat).await), "{round}");
        } else {
            assert!(is_live(&ask(&chat).await), "{round}");
        }
    }
    assert_eq!(openings(&chat).await, 0.0);
}

#[tokio::test]
async fn sessions_of_one_address_do_not_close_the_model_to_others() {
    let chat = Chat::new(&[THREE, LONG_PAUSE, NO_RETRIES, ("DEGRADED_MODE", "off")]).await;
    for _ in 0..3 {
        chat.upstream.queue(refused());
        ask(&chat).await;
    }
    assert_eq!(openings(&chat).await, 1.0);
    // Excerpts are off, but other visitors are answered.
    assert_eq!(get(&chat.server, "/health/ready").await.status, 200);

    let answer = ask_from(&chat, "127.0.0.2").await;
    assert!(is_live(&answer), "{answer:?}");
    let answer = ask(&chat).await;
    assert!(is_live(&answer), "the answer to another visitor closed the breaker: {answer:?}");
}

#[tokio::test]
async fn refusal_that_also_meets_another_address_closes_the_model_to_all() {
    let chat = Chat::new(&[THREE, LONG_PAUSE, NO_RETRIES]).await;
    chat.upstream.always(refused());
    for _ in 0..3 {
        ask(&chat).await;
    }
    assert!(has_excerpts(&ask_from(&chat, "127.0.0.2").await));
    assert_eq!(chat.upstream.requests().len(), 4);
    assert!(has_excerpts(&ask_from(&chat, "127.0.0.3").await));
    assert_eq!(chat.upstream.requests().len(), 4);
}

#[tokio::test]
async fn unlucky_requests_in_a_crowd_do_not_open_the_breaker_and_an_outage_does() {
    let settings = [LONG_PAUSE, NO_RETRIES, ("RATE_LIMIT_REQUESTS_PER_MINUTE", "600")];
    let chat = Chat::new(&settings).await;
    // Failures arrive at once, answers later.
    chat.upstream.answer_with(|request| match request.number {
        20..28 => Script::rejection(500, "no"),
        _ => Script::from_words(&["Some ", "words."]).every(Duration::from_millis(150)),
    });
    let mut visitors = Vec::new();
    for _ in 0..60 {
        visitors.push(chat.connect().await);
    }
    let answers = join_all(visitors.iter_mut().map(|visitor| visitor.ask_and_wait(QUESTION))).await;
    assert_eq!(answers.iter().filter(|answer| is_live(answer)).count(), 52);
    assert_eq!(openings(&chat).await, 0.0);

    chat.upstream.always(Script::rejection(500, "no"));
    let outage = async {
        // The answers from before the outage count for two seconds.
        while openings(&chat).await == 0.0 {
            let asking = visitors.iter_mut().map(|visitor| visitor.ask_and_wait(QUESTION));
            let answers = join_all(asking).await;
            assert!(answers.iter().all(has_excerpts), "{answers:?}");
        }
    };
    within("the breaker to open", outage).await;
}

//! Connections to the model server that are kept open: a server that closes them costs no visitor an
//! answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::Chat;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::upstream::request::Request;
use crate::support::upstream::script::Script;

const QUESTION: &str = "What was done at Northwind Rail?";

fn words() -> Script {
    Script::from_words(&["Some ", "words."])
}

fn assert_live(answer: &Answer) {
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &json!("live")), "{answer:?}");
    assert_eq!(answer.text, "Some words.");
}

/// Lets `visitors` ask one after the other, each on its own connection.
async fn let_visitors_ask(chat: &Chat, visitors: usize) {
    for _ in 0..visitors {
        assert_live(&chat.connect().await.ask_and_wait(QUESTION).await);
    }
}

/// Answers the first request of each connection, and plays `closing` to any further one.
fn close_reused(closing: Script) -> impl Fn(&Request) -> Script + Send + Sync + 'static {
    move |request| if request.is_on_reused_connection { closing.clone() } else { words() }
}

#[tokio::test]
async fn connections_that_die_on_reuse_cost_no_visitor_an_answer() {
    let closings = [
        Script::new().close_before_headers(),
        Script::new().reset_before_headers(),
        Script::new().text(408, &[("connection", "close")], ""),
    ];
    for closing in closings {
        let chat = Chat::new(&[("LLM_MAX_RETRIES", "0")]).await;
        chat.upstream.answer_with(close_reused(closing));

        let_visitors_ask(&chat, 60).await;

        let scrape = Scrape::fetch(&chat.server).await;
        let reconnects = scrape.value("upstream_reconnects_total");
        assert!(reconnects >= 20.0, "{reconnects}");
        assert_eq!(scrape.value("upstream_requests_total{outcome=\"answered\"}"), 60.0);
        assert_eq!(scrape.value("upstream_requests_total{outcome=\"failed\"}"), 0.0);
        assert_eq!(scrape.value("upstream_requests_total{outcome=\"timed_out\"}"), 0.0);
        let is_reconnect =
            |entry: &Value| entry["msg"] == "upstream connection was stale, sending the request on a new one";
        let line = chat.server.wait_for_log("the new connection", is_reconnect).await;
        assert!(line["turn_id"].is_string() && line["connection_error"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn crowds_of_visitors_find_only_live_answers_when_idle_connections_die() {
    let chat = Chat::new(&[("LLM_MAX_RETRIES", "0")]).await;
    chat.upstream.answer_with(close_reused(Script::new().close_before_headers()));
    for _ in 0..3 {
        let mut visitors = Vec::new();
        for _ in 0..40 {
            visitors.push(chat.connect().await);
        }
        let asking = visitors.iter_mut().map(|visitor| visitor.ask_and_wait(QUESTION));
        for answer in futures_util::future::join_all(asking).await {
            assert_live(&answer);
        }
    }
    let scrape = Scrape::fetch(&chat.server).await;
    assert!(scrape.value("upstream_reconnects_total") > 0.0);
    assert_eq!(scrape.value("upstream_breaker_openings_total"), 0.0);
}

#[tokio::test]
async fn request_that_dies_on_a_new_connection_is_a_failure() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "1")]).await;
    chat.upstream.always(Script::new().close_before_headers());

    assert_eq!(chat.visitor.ask_and_wait(QUESTION).await.done["mode"], "excerpts");
    assert_eq!(chat.upstream.requests().len(), 2);
    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("upstream_requests_total{outcome=\"failed\"}"), 2.0);
    assert_eq!(scrape.value("upstream_reconnects_total"), 0.0);
}

#[tokio::test]
async fn request_is_sent_on_a_new_connection_only_once() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "1")]).await;
    chat.upstream.queue(words());
    assert_live(&chat.visitor.ask_and_wait(QUESTION).await);
    chat.upstream.always(Script::new().close_before_headers());

    assert_eq!(chat.visitor.ask_and_wait(QUESTION).await.done["mode"], "excerpts");
    // The answer, the request on the same connection, its repetition, and the retry.
    assert_eq!(chat.upstream.requests().len(), 4);
    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("upstream_requests_total{outcome=\"failed\"}"), 2.0);
    assert_eq!(scrape.value("upstream_reconnects_total"), 1.0);
}

#[tokio::test]
async fn response_that_has_begun_is_not_requested_on_a_new_connection() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "0"), ("DEGRADED_MODE", "off")]).await;
    chat.upstream.queue(words());
    assert_live(&chat.visitor.ask_and_wait(QUESTION).await);
    let slow = Script::new().text(408, &[("content-type", "text/plain")], "too slow");
    for script in [slow, words().drop_connection_after(0), words().drop_connection_after(1)] {
        chat.upstream.queue(script);
        assert_eq!(chat.visitor.ask_and_wait(QUESTION).await.status(), "failed");
    }
    assert_eq!(chat.upstream.requests().len(), 4);
    assert_eq!(Scrape::fetch(&chat.server).await.value("upstream_reconnects_total"), 0.0);
}

#[tokio::test]
async fn idle_connections_are_closed_before_servers_close_them() {
    let mut chat = Chat::new(&[]).await;
    chat.upstream.always(words());
    assert_live(&chat.visitor.ask_and_wait(QUESTION).await);
    assert!(chat.upstream.open_connections() >= 1);
    chat.upstream.wait_for_connections(0).await;

    // A connection that has been idle for a while is reused.
    assert_live(&chat.visitor.ask_and_wait(QUESTION).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_live(&chat.visitor.ask_and_wait(QUESTION).await);
    assert!(chat.upstream.requests().pop().is_some_and(|request| request.is_on_reused_connection));
}

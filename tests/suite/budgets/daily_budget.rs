//! The daily budget: reserved before a request, settled after it, shared by all instances, kept
//! across restarts.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::cli;
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// A budget for one question at a time: an answer may use 1,200 of 2,000 tokens.
const ONE_AT_A_TIME: [(&str, &str); 4] = [
    ("MAX_CONTEXT_TOKENS", "2000"),
    ("MAX_RESPONSE_TOKENS", "1200"),
    ("DAILY_TOKEN_LIMIT", "2000"),
    ("DEGRADED_MODE", "off"),
];

/// Selects the tokens used, over all days.
const USED_TOKENS: &str = "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM spending";

/// Converts the value of a metric to an integer.
fn to_integer(value: f64) -> i64 {
    format!("{value:.0}").parse().unwrap()
}

/// Asks a question that must be rejected because the daily budget is used up.
async fn expect_budget_exceeded(visitor: &mut ChatClient, question: &str) -> Value {
    visitor.ask_with_id(question, question).await;
    let error = visitor.expect_error("BUDGET_EXCEEDED").await;
    assert_eq!((&error["id"], &error["retryable"]), (&json!(question), &json!(true)), "{error}");
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=86_400_000).contains(&wait), "not before midnight UTC: {error}");
    error
}

on_both_stores! {
    async fn concurrent_questions_cannot_exceed_the_budget(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_AT_A_TIME).await;
        let mut other = chat.connect().await;
        other.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate).usage(42, 7, None));

        chat.visitor.ask("First?").await;
        receive_text(&mut chat.visitor, "One ").await;
        expect_budget_exceeded(&mut other, "Second?").await;
        assert_eq!(chat.upstream.requests().len(), 1);

        let during = Scrape::fetch(&chat.server).await;
        let reserved = during.value("budget_set_aside_tokens");
        assert!((1200.0..=2000.0).contains(&reserved), "{reserved}");
        assert_eq!((during.value("budget_taken_tokens"), during.value("budget_limit_tokens")), (0.0, 2000.0));

        wait_until_stored(&store, USED_TOKENS, to_integer(reserved)).await;
        // The answer used far less than its reservation, so the second question fits.
        gate.open();
        assert_eq!(chat.visitor.receive_until("done").await.pop().unwrap()["status"], "complete");

        chat.upstream.queue(Script::from_words(&["Now."]).usage(100, 1, None));
        assert_eq!(other.ask_and_wait("Second?").await.status(), "complete");

        let after = Scrape::fetch(&chat.server).await;
        assert_eq!(
            (after.value("budget_taken_tokens"), after.value("budget_set_aside_tokens")),
            (150.0, 0.0)
        );
        assert_eq!(after.value("budget_refusals_total{limit=\"day\"}"), 1.0);
        assert_eq!(store.query_number(USED_TOKENS).await, 150);
    }

    async fn restart_and_deletion_do_not_refund_the_budget(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_AT_A_TIME).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["Dear."]).usage(600, 100, None));

        chat.visitor.ask_and_wait("Is it dear?").await;
        expect_budget_exceeded(&mut chat.visitor, "And now?").await;

        cli::run_ok(&store, &["conversations", "delete", "--yes", &session.session_id]).await;
        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.connect().await;
        back.start().await;

        expect_budget_exceeded(&mut back, "And after a restart?").await;
        assert_eq!(store.query_number(USED_TOKENS).await, 700);
        assert_eq!(Scrape::fetch(&chat.server).await.value("budget_taken_tokens"), 700.0);
    }

    async fn reservation_left_by_a_crash_counts_in_full(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_AT_A_TIME).await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

        chat.visitor.ask("Does it end?").await;
        receive_text(&mut chat.visitor, "One ").await;
        let reserved = Scrape::fetch(&chat.server).await.value("budget_set_aside_tokens");
        wait_until_stored(&store, USED_TOKENS, to_integer(reserved)).await;
        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.connect().await;
        back.start().await;

        expect_budget_exceeded(&mut back, "And now?").await;
        assert_eq!(Scrape::fetch(&chat.server).await.value("budget_taken_tokens"), reserved);
    }

    async fn instances_with_one_database_share_the_budget(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_AT_A_TIME).await;
        let config = ServerConfig::serve(&store, &chat.upstream);
        let second = Server::start(config.with_all(&ONE_AT_A_TIME)).await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

        chat.visitor.ask("Here?").await;
        receive_text(&mut chat.visitor, "One ").await;
        wait_until_stored(&store, "SELECT count(*) FROM turns", 1).await;
        // The second instance learns of the reservation only from the store.
        let mut there = ChatClient::connect(&second).await;
        there.start().await;

        expect_budget_exceeded(&mut there, "There?").await;
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
        assert_eq!(Scrape::fetch(&second).await.value("budget_set_aside_tokens"), 0.0);
    }

    async fn failed_answer_without_deltas_uses_no_budget(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_AT_A_TIME).await;
        chat.upstream.queue(Script::rejection(400, "no"));
        assert_eq!(chat.visitor.ask_and_wait("One?").await.status(), "failed");
        assert_eq!(store.query_number(USED_TOKENS).await, 0);

        // A cancelled answer uses its prompt and the received deltas.
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Two?").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.visitor.send(json!({"type": "cancel"})).await;
        let done = chat.visitor.receive_until("done").await.pop().unwrap();
        let used = done["usage"]["prompt_tokens"].as_i64().unwrap()
            + done["usage"]["completion_tokens"].as_i64().unwrap();

        assert!(used > 0, "{done}");
        assert_eq!(store.query_number(USED_TOKENS).await, used);
    }
}

#[tokio::test]
async fn cost_is_taken_from_upstream_or_computed_from_prices() {
    let mut settings = ONE_AT_A_TIME.to_vec();
    settings.extend([("DAILY_TOKEN_LIMIT", ""), ("DAILY_COST_LIMIT", "0.01")]);
    settings.extend([("LLM_PRICE_PROMPT", "1"), ("LLM_PRICE_COMPLETION", "4")]);
    let mut chat = Chat::new(&settings).await;
    // A prompt token costs one millionth of a dollar, a completion token four.
    chat.upstream.queue(Script::from_words(&["Named."]).usage(100, 10, 0.002));
    chat.visitor.ask_and_wait("One?").await;
    let taken = Scrape::fetch(&chat.server).await.value("budget_taken_dollars");

    assert!((taken - 0.002).abs() < 1e-9, "{taken}");

    chat.upstream.queue(Script::from_words(&["Reckoned."]).usage(1000, 500, None));
    chat.visitor.ask_and_wait("Two?").await;
    let taken = Scrape::fetch(&chat.server).await.value("budget_taken_dollars");

    assert!((taken - 0.005).abs() < 1e-9, "{taken}");
    // $0.005 is left. The next answer may cost $0.0048 plus its prompt, which does not fit.
    expect_budget_exceeded(&mut chat.visitor, "Three?").await;
}

#[tokio::test]
async fn excerpts_answer_when_the_daily_budget_is_used_up() {
    let mut settings = ONE_AT_A_TIME.to_vec();
    settings.push(("DEGRADED_MODE", "excerpts"));
    let mut chat = Chat::new(&settings).await;
    chat.upstream.queue(Script::from_words(&["Dear."]).usage(700, 100, None));

    assert_eq!(chat.visitor.ask_and_wait("What did she do?").await.done["mode"], "live");

    chat.visitor.ask("What did she do at Northwind Rail?").await;
    let frames = chat.visitor.receive_until("done").await;
    assert!(frames.iter().any(|frame| frame["code"] == "DEGRADED"), "{frames:?}");

    let done = frames.last().unwrap();
    assert_eq!((&done["mode"], &done["status"]), (&json!("excerpts"), &json!("complete")), "{done}");
    assert_eq!(chat.upstream.requests().len(), 1);
    // A new session starts in excerpts mode.
    assert_eq!(chat.connect().await.start().await.frame["mode"], "excerpts");

    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("answer_degraded_total{reason=\"budget_spent\"}"), 1.0);
    assert_eq!(scrape.value("budget_taken_tokens"), 800.0);
}

#[tokio::test]
async fn budget_too_small_for_one_question_is_a_configuration_error() {
    let output = run_command(&["check"], &[("DAILY_TOKEN_LIMIT", "100"), ("DAILY_COST_LIMIT", "$5")]).await;
    assert_eq!(output.code, Some(78), "{output:?}");
    for word in ["DAILY_TOKEN_LIMIT", "room for one exchange", "DAILY_COST_LIMIT", "such as 5 or 0.15"] {
        assert!(output.stderr.contains(word), "{word} is not in {}", output.stderr);
    }
}

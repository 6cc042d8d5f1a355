//! What a day may cost: set aside before the model is asked, counted after, kept through everything.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::gate::Gate;
use crate::support::owner;
use crate::support::process::run_to_end;
use crate::support::scrape::Scrape;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

/// Room for one question at a time: an answer may take 1,200 of 2,000 tokens.
const ONE_AT_A_TIME: [(&str, &str); 4] = [
    ("MAX_CONTEXT_TOKENS", "2000"),
    ("MAX_RESPONSE_TOKENS", "1200"),
    ("DAILY_TOKEN_LIMIT", "2000"),
    ("DEGRADED_MODE", "off"),
];

/// The store's account, whatever the day.
const TOKENS: &str = "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM daily_budgets";

/// A metric that counts, as a number of the store.
fn whole(value: f64) -> i64 {
    format!("{value:.0}").parse().unwrap()
}

async fn refused(visitor: &mut ChatClient, question: &str) -> Value {
    visitor.ask_with_id(question, question).await;
    let error = visitor.hear_error("BUDGET_EXCEEDED").await;
    assert_eq!((&error["id"], &error["retryable"]), (&json!(question), &json!(true)), "{error}");
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=86_400_000).contains(&wait), "until midnight of UTC: {error}");
    error
}

on_both_stores! {
    async fn two_questions_at_once_cannot_overspend(store: FreshStore) {
        let mut chat = Chat::on(&store, &ONE_AT_A_TIME).await;
        let mut other = chat.another().await;
        other.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate).usage(42, 7, None));
        chat.visitor.ask("First?").await;
        hear_text(&mut chat.visitor, "One ").await;
        refused(&mut other, "Second?").await;
        assert_eq!(chat.upstream.requests().len(), 1);
        let during = Scrape::of(&chat.server).await;
        let set_aside = during.value("budget_reserved_tokens");
        assert!((1200.0..=2000.0).contains(&set_aside), "{set_aside}");
        assert_eq!((during.value("budget_used_tokens"), during.value("budget_limit_tokens")), (0.0, 2000.0));
        until_stored(&store, TOKENS, whole(set_aside)).await;
        // It took far less than what was set aside, so there is room for another.
        gate.open();
        assert_eq!(chat.visitor.hear_until("done").await.pop().unwrap()["status"], "complete");
        chat.upstream.queue(Script::of(&["Now."]).usage(100, 1, None));
        assert_eq!(other.ask_and_hear("Second?").await.status(), "complete");
        let after = Scrape::of(&chat.server).await;
        assert_eq!((after.value("budget_used_tokens"), after.value("budget_reserved_tokens")), (150.0, 0.0));
        assert_eq!(after.value("budget_rejections_total{scope=\"day\"}"), 1.0);
        assert_eq!(store.number(TOKENS).await, 150);
    }

    async fn a_restart_and_a_deletion_give_nothing_back(store: FreshStore) {
        let mut chat = Chat::on(&store, &ONE_AT_A_TIME).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["Dear."]).usage(600, 100, None));
        chat.visitor.ask_and_hear("Is it dear?").await;
        refused(&mut chat.visitor, "And now?").await;
        owner::told(&store, &["conversations", "delete", "--yes", &session.session_id]).await;
        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.another().await;
        back.start().await;
        refused(&mut back, "And after a restart?").await;
        assert_eq!(store.number(TOKENS).await, 700);
        assert_eq!(Scrape::of(&chat.server).await.value("budget_used_tokens"), 700.0);
    }

    async fn what_a_crash_left_unsettled_counts_as_taken_whole(store: FreshStore) {
        let mut chat = Chat::on(&store, &ONE_AT_A_TIME).await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Does it end?").await;
        hear_text(&mut chat.visitor, "One ").await;
        let set_aside = Scrape::of(&chat.server).await.value("budget_reserved_tokens");
        until_stored(&store, TOKENS, whole(set_aside)).await;
        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.another().await;
        back.start().await;
        refused(&mut back, "And now?").await;
        assert_eq!(Scrape::of(&chat.server).await.value("budget_used_tokens"), set_aside);
    }

    async fn servers_that_share_a_database_share_the_ceiling(store: FreshStore) {
        let mut chat = Chat::on(&store, &ONE_AT_A_TIME).await;
        let config = ServerConfig::serve(&store, &chat.upstream);
        let second = Server::start(config.with_all(&ONE_AT_A_TIME)).await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Here?").await;
        hear_text(&mut chat.visitor, "One ").await;
        until_stored(&store, "SELECT count(*) FROM turns", 1).await;
        // Its own account knows nothing of the other's; the store does.
        let mut there = ChatClient::connect(&second).await;
        there.start().await;
        refused(&mut there, "There?").await;
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
        assert_eq!(Scrape::of(&second).await.value("budget_reserved_tokens"), 0.0);
    }

    async fn an_answer_that_failed_before_its_first_word_takes_nothing(store: FreshStore) {
        let mut chat = Chat::on(&store, &ONE_AT_A_TIME).await;
        chat.upstream.queue(Script::refusal(400, "no"));
        assert_eq!(chat.visitor.ask_and_hear("One?").await.status(), "failed");
        assert_eq!(store.number(TOKENS).await, 0);
        // A stopped one takes what was sent and what came.
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Two?").await;
        hear_text(&mut chat.visitor, "One ").await;
        chat.visitor.say(json!({"type": "cancel"})).await;
        let done = chat.visitor.hear_until("done").await.pop().unwrap();
        let took = done["usage"]["prompt_tokens"].as_i64().unwrap() + done["usage"]["completion_tokens"].as_i64().unwrap();
        assert!(took > 0, "{done}");
        assert_eq!(store.number(TOKENS).await, took);
    }
}

#[tokio::test]
async fn money_is_counted_as_the_models_server_names_it_or_else_by_the_prices() {
    let mut settings = ONE_AT_A_TIME.to_vec();
    settings.extend([("DAILY_TOKEN_LIMIT", ""), ("DAILY_COST_LIMIT", "0.01")]);
    settings.extend([("LLM_PRICE_PROMPT", "1"), ("LLM_PRICE_COMPLETION", "4")]);
    let mut chat = Chat::with(&settings).await;
    // Up to 800 tokens for a millionth of a dollar each, 1,200 for four.
    chat.upstream.queue(Script::of(&["Named."]).usage(100, 10, 0.002));
    chat.visitor.ask_and_hear("One?").await;
    let taken = Scrape::of(&chat.server).await.value("budget_used_dollars");
    assert!((taken - 0.002).abs() < 1e-9, "{taken}");
    chat.upstream.queue(Script::of(&["Reckoned."]).usage(1000, 500, None));
    chat.visitor.ask_and_hear("Two?").await;
    let taken = Scrape::of(&chat.server).await.value("budget_used_dollars");
    assert!((taken - 0.005).abs() < 1e-9, "{taken}");
    // 0.005 are left, and the next answer may cost 0.0048 and its prompt.
    refused(&mut chat.visitor, "Three?").await;
}

#[tokio::test]
async fn when_the_day_is_used_up_the_resume_answers_and_says_so() {
    let mut settings = ONE_AT_A_TIME.to_vec();
    settings.push(("DEGRADED_MODE", "excerpts"));
    let mut chat = Chat::with(&settings).await;
    chat.upstream.queue(Script::of(&["Dear."]).usage(700, 100, None));
    assert_eq!(chat.visitor.ask_and_hear("What did she do?").await.done["mode"], "live");
    chat.visitor.ask("What did she do at Northwind Rail?").await;
    let heard = chat.visitor.hear_until("done").await;
    assert!(heard.iter().any(|frame| frame["code"] == "DEGRADED"), "{heard:?}");
    let done = heard.last().unwrap();
    assert_eq!((&done["mode"], &done["status"]), (&json!("excerpts"), &json!("complete")), "{done}");
    assert_eq!(chat.upstream.requests().len(), 1);
    // Who comes now is told at once.
    assert_eq!(chat.another().await.start().await.frame["mode"], "excerpts");
    let scrape = Scrape::of(&chat.server).await;
    assert_eq!(scrape.value("answer_fallbacks_total{reason=\"budget_spent\"}"), 1.0);
    assert_eq!(scrape.value("budget_used_tokens"), 800.0);
}

#[tokio::test]
async fn limits_that_leave_no_room_for_a_question_are_faults() {
    let faults = run_to_end(&["check"], &[("DAILY_TOKEN_LIMIT", "100"), ("DAILY_COST_LIMIT", "$5")]).await;
    assert_eq!(faults.code, Some(78), "{faults:?}");
    for word in ["DAILY_TOKEN_LIMIT", "room for one exchange", "DAILY_COST_LIMIT", "such as 5 or 0.15"] {
        assert!(faults.stderr.contains(word), "{word} is not in {}", faults.stderr);
    }
}

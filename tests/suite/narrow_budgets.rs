//! What one session and one client address may cost, and what asking again for one answer may.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::chat::{Chat, hear_text};
use crate::support::chat_client::ChatClient;
use crate::support::gate::Gate;
use crate::support::handshake::Handshake;
use crate::support::owner;
use crate::support::process::run_to_end;
use crate::support::scrape::Scrape;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

/// An answer may take 1,200 tokens and its prompt some dozens.
const SMALL: [(&str, &str); 3] =
    [("MAX_CONTEXT_TOKENS", "2000"), ("MAX_RESPONSE_TOKENS", "1200"), ("DEGRADED_MODE", "off")];

const TO_A_SESSION: (&str, &str) = ("SESSION_TOKEN_LIMIT", "2000");
const TO_AN_ADDRESS: (&str, &str) = ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "2000");

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    SMALL.iter().chain(more).copied().collect()
}

/// Half of what there is; another answer does not fit beside it.
fn dear(chat: &Chat) {
    chat.upstream.queue(Script::of(&["Dear."]).usage(900, 100, None));
}

/// Asks what is over a ceiling, which is told in these words.
async fn refused(visitor: &mut ChatClient, words: &str) -> Value {
    visitor.ask("And now?").await;
    let error = visitor.hear_until("error").await.pop().unwrap_or_default();
    assert_eq!(error["code"], "BUDGET_EXCEEDED", "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    error
}

async fn refusals(server: &Server, ceiling: &str) -> f64 {
    Scrape::of(server).await.value(&format!("budget_rejections_total{{scope=\"{ceiling}\"}}"))
}

on_both_stores! {
    async fn a_session_that_has_had_its_share_is_over_wherever_it_is_resumed_and_another_may_begin(store: FreshStore) {
        let settings = with(&[TO_A_SESSION]);
        let mut chat = Chat::on(&store, &settings).await;
        let session = chat.visitor.start().await;
        dear(&chat);
        chat.visitor.ask_and_hear("Is it dear?").await;
        let error = refused(&mut chat.visitor, "start a new one").await;
        assert_eq!((&error["retryable"], error.get("retry_after_ms")), (&json!(false), None), "{error}");
        assert_eq!(refusals(&chat.server, "session").await, 1.0);
        assert_eq!(chat.another().await.ask_and_hear("And I?").await.status(), "complete");

        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.another().await;
        back.resume(&session, Value::Null).await;
        refused(&mut back, "start a new one").await;
        let elsewhere = Server::start(ServerConfig::serve(&store, &chat.upstream).with_all(&settings)).await;
        let mut there = ChatClient::connect(&elsewhere).await;
        there.resume(&session, Value::Null).await;
        refused(&mut there, "start a new one").await;
        assert_eq!(chat.upstream.requests().len(), 2, "who is refused costs nothing");
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 2);
    }

    async fn an_address_has_its_share_of_a_day_through_restarts_and_deletions(store: FreshStore) {
        let settings = with(&[TO_AN_ADDRESS]);
        let mut chat = Chat::on(&store, &settings).await;
        let session = chat.visitor.start().await;
        dear(&chat);
        chat.visitor.ask_and_hear("Is it dear?").await;
        let mut second = chat.another().await;
        let error = refused(&mut second, "tomorrow").await;
        assert_eq!(error["retryable"], true, "{error}");
        assert!((1..=86_400_000).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
        assert_eq!(refusals(&chat.server, "address").await, 1.0);

        owner::told(&store, &["conversations", "delete", "--yes", &session.session_id]).await;
        chat.server.kill().await;
        chat.server.restart().await;
        refused(&mut chat.another().await, "tomorrow").await;
        let elsewhere = Handshake::new().coming_from("127.0.0.2");
        let other = ChatClient::connect_with(&chat.server, &elsewhere).await;
        let mut other = other.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(other.ask_and_hear("And I?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2, "who is refused costs nothing");
        // Two addresses, and neither can be read.
        assert_eq!(store.number("SELECT count(*) FROM address_budgets WHERE length(address_digest) = 32").await, 2);
        assert_eq!(store.number("SELECT CAST(sum(tokens) AS BIGINT) FROM address_budgets").await
            - store.number("SELECT CAST(sum(tokens) AS BIGINT) FROM daily_budgets").await, 0);
        // The next day begins with nothing, and yesterday's addresses go.
        store.execute("UPDATE address_budgets SET day = day - 1").await;
        chat.server.restart().await;
        assert_eq!(chat.another().await.ask_and_hear("A day later?").await.status(), "complete");
        assert_eq!(store.number("SELECT count(*) FROM address_budgets").await, 1);
    }

    async fn two_questions_of_one_address_at_once_cannot_overspend(store: FreshStore) {
        let mut chat = Chat::on(&store, &with(&[TO_AN_ADDRESS])).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate).usage(42, 7, None));
        chat.visitor.ask("First?").await;
        hear_text(&mut chat.visitor, "One ").await;
        let mut second = chat.another().await;
        refused(&mut second, "tomorrow").await;
        gate.open();
        chat.visitor.hear_until("done").await;
        assert_eq!(second.ask_and_hear("Now?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn what_another_server_has_charged_an_address_is_learnt_from_the_store(store: FreshStore) {
        let settings = with(&[TO_AN_ADDRESS]);
        let mut chat = Chat::on(&store, &settings).await;
        chat.upstream.queue(Script::of(&["Cheap."]).usage(10, 1, None));
        chat.visitor.ask_and_hear("Is it cheap?").await;
        let elsewhere = Server::start(ServerConfig::serve(&store, &chat.upstream).with_all(&settings)).await;
        let mut there = ChatClient::connect(&elsewhere).await;
        dear(&chat);
        there.ask_and_hear("Is it dear?").await;
        refused(&mut chat.visitor, "tomorrow").await;
        // The store had to say so once, while the model was asked already; from now on it is known here.
        let by_the_store = |line: &Value| line["msg"] == "question refused";
        chat.server.wait_for_log("that the store refused", by_the_store).await;
        refused(&mut chat.visitor, "tomorrow").await;
        refused(&mut chat.visitor, "tomorrow").await;
        assert_eq!(refusals(&chat.server, "address").await, 3.0);
        assert_eq!(chat.server.logs().iter().filter(|line| by_the_store(line)).count(), 1);
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 2);
    }
}

#[tokio::test]
async fn addresses_of_one_network_share_an_account_and_others_do_not() {
    let chat = Chat::with(&with(&[TO_AN_ADDRESS, ("TRUSTED_PROXIES", "127.0.0.1")])).await;
    let from = async |address: &str| {
        let handshake = Handshake::new().header("X-Forwarded-For", address);
        let visitor = ChatClient::connect_with(&chat.server, &handshake).await;
        visitor.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    };
    dear(&chat);
    from("2001:db8:0:1::1").await.ask_and_hear("Is it dear?").await;
    refused(&mut from("2001:db8:0:1:ffff::2").await, "tomorrow").await;
    assert_eq!(from("2001:db8:0:2::1").await.ask_and_hear("And I?").await.status(), "complete");
    assert_eq!(from("203.0.113.7").await.ask_and_hear("And I?").await.status(), "complete");
}

#[tokio::test]
async fn when_a_session_is_over_its_ceiling_the_resume_answers_and_says_so() {
    let mut chat = Chat::with(&with(&[TO_A_SESSION, ("DEGRADED_MODE", "excerpts")])).await;
    dear(&chat);
    assert_eq!(chat.visitor.ask_and_hear("What did she do?").await.done["mode"], "live");
    chat.visitor.ask("What did she do at Northwind Rail?").await;
    let heard = chat.visitor.hear_until("done").await;
    assert!(heard.iter().any(|frame| frame["code"] == "DEGRADED"), "{heard:?}");
    assert_eq!(heard.last().unwrap()["mode"], "excerpts");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_is_asked_for_again_only_while_a_second_one_can_be_paid_too() {
    let breaks = || Script::of(&["Half ", "an "]).drop_connection_after(2);
    for (limit, requests, status) in [("2000", 1, "failed"), ("4000", 2, "complete")] {
        let mut chat = Chat::with(&with(&[("DAILY_TOKEN_LIMIT", limit)])).await;
        chat.upstream.queue(breaks());
        chat.upstream.queue(Script::of(&["All ", "of it."]).usage(40, 2, None));
        let answer = chat.visitor.ask_and_hear("Is it whole?").await;
        assert_eq!((answer.status(), chat.upstream.requests().len()), (status, requests), "{limit}");
        let scrape = Scrape::of(&chat.server).await;
        assert_eq!(scrape.value("budget_reserved_tokens"), 0.0);
        let (taken, refused) =
            (scrape.value("budget_used_tokens"), scrape.value("budget_rejections_total{scope=\"day\"}"));
        if requests == 1 {
            assert!(taken > 0.0 && refused == 1.0, "{taken} {refused}");
        } else {
            assert!(taken > 42.0 && refused == 0.0, "both attempts are counted: {taken} {refused}");
        }
    }
}

#[tokio::test]
async fn narrow_limits_that_leave_no_room_for_a_question_are_faults() {
    let settings = [
        ("SESSION_TOKEN_LIMIT", "100"),
        ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "many"),
        ("SESSION_COST_LIMIT", "1"),
    ];
    let faults = run_to_end(&["check"], &settings).await;
    assert_eq!(faults.code, Some(78), "{faults:?}");
    for words in [
        "SESSION_TOKEN_LIMIT",
        "room for one exchange",
        "DAILY_TOKEN_LIMIT_PER_ADDRESS",
        "is required by SESSION_COST_LIMIT",
    ] {
        assert!(faults.stderr.contains(words), "{words} is not in {}", faults.stderr);
    }
}

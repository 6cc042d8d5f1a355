//! Budgets of one session and one client address, and the budget check before a retry.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::cli;
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// An answer may use 1,200 tokens; its prompt uses a few dozen.
const SMALL_CONTEXT: [(&str, &str); 3] =
    [("MAX_CONTEXT_TOKENS", "2000"), ("MAX_RESPONSE_TOKENS", "1200"), ("DEGRADED_MODE", "off")];

const SESSION_LIMIT: (&str, &str) = ("SESSION_TOKEN_LIMIT", "2000");
const ADDRESS_LIMIT: (&str, &str) = ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "2000");

fn settings_with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    SMALL_CONTEXT.iter().chain(more).copied().collect()
}

/// Queues an answer that uses half of the budget, so that a second one does not fit.
fn queue_expensive_answer(chat: &Chat) {
    chat.upstream.queue(Script::from_words(&["Dear."]).usage(900, 100, None));
}

/// Asks a question that must exceed a budget, with `words` in the error message.
async fn expect_budget_exceeded(visitor: &mut ChatClient, words: &str) -> Value {
    visitor.ask("And now?").await;
    let error = visitor.receive_until("error").await.pop().unwrap_or_default();
    assert_eq!(error["code"], "BUDGET_EXCEEDED", "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    error
}

async fn rejections(server: &Server, limit: &str) -> f64 {
    Scrape::fetch(server).await.value(&format!("budget_rejections_total{{scope=\"{limit}\"}}"))
}

on_both_stores! {
    async fn session_budget_holds_after_restart_and_on_other_instances(store: FreshStore) {
        let settings = settings_with(&[SESSION_LIMIT]);
        let mut chat = Chat::with_store(&store, &settings).await;
        let session = chat.visitor.start().await;
        queue_expensive_answer(&chat);

        chat.visitor.ask_and_wait("Is it expensive?").await;
        let error = expect_budget_exceeded(&mut chat.visitor, "start a new one").await;
        assert_eq!((&error["retryable"], error.get("retry_after_ms")), (&json!(false), None), "{error}");
        assert_eq!(rejections(&chat.server, "session").await, 1.0);
        assert_eq!(chat.connect().await.ask_and_wait("And I?").await.status(), "complete");

        chat.server.kill().await;
        chat.server.restart().await;
        let mut back = chat.connect().await;
        back.resume(&session, Value::Null).await;

        expect_budget_exceeded(&mut back, "start a new one").await;

        let other_server =
            Server::start(ServerConfig::serve(&store, &chat.upstream).with_all(&settings)).await;
        let mut visitor_there = ChatClient::connect(&other_server).await;
        visitor_there.resume(&session, Value::Null).await;

        expect_budget_exceeded(&mut visitor_there, "start a new one").await;
        assert_eq!(chat.upstream.requests().len(), 2, "a rejected question was sent upstream");
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 2);
    }

    async fn address_budget_survives_restart_and_session_deletion(store: FreshStore) {
        let settings = settings_with(&[ADDRESS_LIMIT]);
        let mut chat = Chat::with_store(&store, &settings).await;
        let session = chat.visitor.start().await;
        queue_expensive_answer(&chat);

        chat.visitor.ask_and_wait("Is it expensive?").await;
        let mut second = chat.connect().await;
        let error = expect_budget_exceeded(&mut second, "tomorrow").await;

        assert_eq!(error["retryable"], true, "{error}");
        assert!((1..=86_400_000).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
        assert_eq!(rejections(&chat.server, "address").await, 1.0);

        cli::run_ok(&store, &["conversations", "delete", "--yes", &session.session_id]).await;
        chat.server.kill().await;
        chat.server.restart().await;

        expect_budget_exceeded(&mut chat.connect().await, "tomorrow").await;

        let other_address = Handshake::new().with_local_address("127.0.0.2");
        let other = ChatClient::connect_with(&chat.server, &other_address).await;
        let mut other = other.unwrap_or_else(|rejection| panic!("{rejection:?}"));

        assert_eq!(other.ask_and_wait("And I?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2, "a rejected question was sent upstream");
        // Both addresses are stored as hashes.
        assert_eq!(
            store.query_number("SELECT count(*) FROM address_budgets WHERE length(address_digest) = 32").await,
            2
        );
        assert_eq!(
            store.query_number("SELECT CAST(sum(tokens) AS BIGINT) FROM address_budgets").await
                - store.query_number("SELECT CAST(sum(tokens) AS BIGINT) FROM daily_budgets").await,
            0
        );

        // On the next day nothing is used yet, and the addresses of the day before are deleted.
        store.execute("UPDATE address_budgets SET day = day - 1").await;
        chat.server.restart().await;
        assert_eq!(chat.connect().await.ask_and_wait("A day later?").await.status(), "complete");
        assert_eq!(store.query_number("SELECT count(*) FROM address_budgets").await, 1);
    }

    async fn concurrent_questions_of_one_address_cannot_exceed_its_budget(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &settings_with(&[ADDRESS_LIMIT])).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate).usage(42, 7, None));

        chat.visitor.ask("First?").await;
        receive_text(&mut chat.visitor, "One ").await;
        let mut second = chat.connect().await;

        expect_budget_exceeded(&mut second, "tomorrow").await;

        gate.open();
        chat.visitor.receive_until("done").await;
        assert_eq!(second.ask_and_wait("Now?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn charges_by_another_instance_are_learned_from_the_store(store: FreshStore) {
        let settings = settings_with(&[ADDRESS_LIMIT]);
        let mut chat = Chat::with_store(&store, &settings).await;
        chat.upstream.queue(Script::from_words(&["Cheap."]).usage(10, 1, None));

        chat.visitor.ask_and_wait("Is it cheap?").await;
        let other_server =
            Server::start(ServerConfig::serve(&store, &chat.upstream).with_all(&settings)).await;
        let mut visitor_there = ChatClient::connect(&other_server).await;
        queue_expensive_answer(&chat);
        visitor_there.ask_and_wait("Is it expensive?").await;

        expect_budget_exceeded(&mut chat.visitor, "tomorrow").await;

        // The store rejected the first question, after the request was sent. Later ones are
        // rejected in memory.
        let rejected_by_store = |line: &Value| line["msg"] == "question refused";
        chat.server.wait_for_log("the rejection by the store", rejected_by_store).await;
        expect_budget_exceeded(&mut chat.visitor, "tomorrow").await;
        expect_budget_exceeded(&mut chat.visitor, "tomorrow").await;
        assert_eq!(rejections(&chat.server, "address").await, 3.0);
        assert_eq!(chat.server.logs().iter().filter(|line| rejected_by_store(line)).count(), 1);
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 2);
    }
}

#[tokio::test]
async fn ipv6_addresses_of_one_network_share_a_budget() {
    let chat = Chat::new(&settings_with(&[ADDRESS_LIMIT, ("TRUSTED_PROXIES", "127.0.0.1")])).await;

    let connect_from = async |address: &str| {
        let handshake = Handshake::new().header("X-Forwarded-For", address);
        let visitor = ChatClient::connect_with(&chat.server, &handshake).await;
        visitor.unwrap_or_else(|rejection| panic!("{rejection:?}"))
    };
    queue_expensive_answer(&chat);
    connect_from("2001:db8:0:1::1").await.ask_and_wait("Is it expensive?").await;

    expect_budget_exceeded(&mut connect_from("2001:db8:0:1:ffff::2").await, "tomorrow").await;
    assert_eq!(connect_from("2001:db8:0:2::1").await.ask_and_wait("And I?").await.status(), "complete");
    assert_eq!(connect_from("203.0.113.7").await.ask_and_wait("And I?").await.status(), "complete");
}

#[tokio::test]
async fn excerpts_answer_when_the_session_budget_is_used_up() {
    let mut chat = Chat::new(&settings_with(&[SESSION_LIMIT, ("DEGRADED_MODE", "excerpts")])).await;
    queue_expensive_answer(&chat);
    assert_eq!(chat.visitor.ask_and_wait("What did she do?").await.done["mode"], "live");

    chat.visitor.ask("What did she do at Northwind Rail?").await;
    let frames = chat.visitor.receive_until("done").await;
    assert!(frames.iter().any(|frame| frame["code"] == "DEGRADED"), "{frames:?}");
    assert_eq!(frames.last().unwrap()["mode"], "excerpts");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn retry_needs_budget_for_a_second_attempt() {
    let broken_answer = || Script::from_words(&["Half ", "an "]).drop_connection_after(2);
    for (limit, requests, status) in [("2000", 1, "failed"), ("4000", 2, "complete")] {
        let mut chat = Chat::new(&settings_with(&[("DAILY_TOKEN_LIMIT", limit)])).await;
        chat.upstream.queue(broken_answer());
        chat.upstream.queue(Script::from_words(&["All ", "of it."]).usage(40, 2, None));
        let answer = chat.visitor.ask_and_wait("Is it whole?").await;
        assert_eq!((answer.status(), chat.upstream.requests().len()), (status, requests), "{limit}");
        let scrape = Scrape::fetch(&chat.server).await;
        assert_eq!(scrape.value("budget_reserved_tokens"), 0.0);
        let (used, rejected) =
            (scrape.value("budget_used_tokens"), scrape.value("budget_rejections_total{scope=\"day\"}"));
        if requests == 1 {
            assert!(used > 0.0 && rejected == 1.0, "{used} {rejected}");
        } else {
            assert!(used > 42.0 && rejected == 0.0, "not both attempts are charged: {used} {rejected}");
        }
    }
}

#[tokio::test]
async fn client_budget_too_small_for_one_question_is_a_configuration_error() {
    let settings = [
        ("SESSION_TOKEN_LIMIT", "100"),
        ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "many"),
        ("SESSION_COST_LIMIT", "1"),
    ];

    let output = run_command(&["check"], &settings).await;
    assert_eq!(output.code, Some(78), "{output:?}");

    for words in [
        "SESSION_TOKEN_LIMIT",
        "room for one exchange",
        "DAILY_TOKEN_LIMIT_PER_ADDRESS",
        "is required by SESSION_COST_LIMIT",
    ] {
        assert!(output.stderr.contains(words), "{words} is not in {}", output.stderr);
    }
}

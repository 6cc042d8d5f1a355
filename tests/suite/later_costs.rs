//! What a request cost that was broken off: OpenRouter tells it some time afterwards, and the accounts are corrected.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::owner;
use crate::support::scrape::Scrape;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::stores::FreshStore;
use crate::support::within;

const OWED: &str = "SELECT count(*) FROM pending_costs";
const TOKENS: &str = "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM daily_budgets";
const NANODOLLARS: &str = "SELECT CAST(coalesce(sum(cost_nanodollars), 0) AS BIGINT) FROM daily_budgets";

fn config(store: &FreshStore, upstream: &FakeOpenRouter) -> ServerConfig {
    ServerConfig::openrouter(upstream)
        .with("DATABASE_URL", store.url())
        .with_all(&[("DEGRADED_MODE", "off"), ("SESSION_TOKEN_LIMIT", "100000")])
        .with_all(&[("DAILY_TOKEN_LIMIT_PER_ADDRESS", "100000")])
}

/// Stops an answer of request `gen-9` after its first word.
async fn stop_one(server: &Server, upstream: &FakeOpenRouter) -> Value {
    stop(server, upstream, "gen-9").await
}

async fn stop(server: &Server, upstream: &FakeOpenRouter, generation: &str) -> Value {
    upstream.queue(Script::of(&["One ", "two."]).hang_after(1).generation(generation));
    let mut visitor = ChatClient::connect(server).await;
    let session = visitor.start().await;
    visitor.ask("Count, please.").await;
    hear_text(&mut visitor, "One ").await;
    visitor.say(json!({"type": "cancel"})).await;
    visitor.hear_until("done").await;
    json!(session.session_id)
}

fn tell(upstream: &FakeOpenRouter) {
    let data = json!({
        "id": "gen-9", "total_cost": 0.0123, "cancelled": true, "tokens_prompt": 650, "tokens_completion": 8,
        "native_tokens_prompt": 700, "native_tokens_completion": 9,
    });
    upstream.document("/generation", 200, json!({ "data": data }));
}

fn asked(upstream: &FakeOpenRouter) -> usize {
    upstream.lookups().iter().filter(|lookup| lookup.path.contains("/generation?id=gen-9")).count()
}

async fn outcomes(server: &Server, outcome: &str) -> f64 {
    Scrape::of(server).await.value(&format!("budget_cost_lookups_total{{outcome=\"{outcome}\"}}"))
}

on_both_stores! {
    async fn a_stopped_answer_costs_what_the_server_tells_when_it_knows(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;
        stop_one(&server, &upstream).await;
        let counted = store.number(TOKENS).await;
        assert!(counted > 0 && counted < 700, "{counted}");
        // It is not there at first.
        until_stored(&store, "SELECT count(*) FROM pending_costs WHERE attempts = 1", 1).await;
        tell(&upstream);
        until_stored(&store, OWED, 0).await;
        assert_eq!((store.number(TOKENS).await, store.number(NANODOLLARS).await), (709, 12_300_000));
        for account in ["sessions", "address_budgets"] {
            assert_eq!(store.number(&format!("SELECT tokens FROM {account}")).await, 709, "{account}");
        }
        let turn = "SELECT count(*) FROM turns WHERE prompt_tokens = 700 AND completion_tokens = 9
            AND cost_nanodollars = 12300000 AND status = 'cancelled'";
        assert_eq!(store.number(turn).await, 1);
        let told = |line: &Value| line["msg"] == "the cost of a request that was broken off is known";
        let line = server.wait_for_log("that the cost is known", told).await;
        assert_eq!((&line["source_id"], &line["tokens"]), (&json!("gen-9"), &json!(709)), "{line}");
        let scrape = Scrape::of(&server).await;
        assert_eq!(scrape.value("budget_used_tokens"), 709.0);
        assert!((scrape.value("budget_used_dollars") - 0.0123).abs() < 1e-9);
        assert_eq!(asked(&upstream), 2);
        let lookup = upstream.lookups().pop().unwrap();
        assert_eq!(lookup.headers["authorization"], "Bearer sk-or-test-key");
    }

    async fn of_two_servers_after_a_kill_one_corrects_what_a_deleted_conversation_cost(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;
        let session = stop_one(&server, &upstream).await;
        server.kill().await;
        assert_eq!(store.number(OWED).await, 1);
        owner::told(&store, &["conversations", "delete", "--yes", session.as_str().unwrap()]).await;
        tell(&upstream);
        store.execute("UPDATE pending_costs SET due_at_ms = 0").await;
        let other = Server::start(config(&store, &upstream));
        let (other, ()) = tokio::join!(other, server.restart());
        until_stored(&store, OWED, 0).await;
        assert_eq!((store.number(TOKENS).await, store.number(NANODOLLARS).await), (709, 12_300_000));
        let corrected = outcomes(&server, "corrected").await + outcomes(&other, "corrected").await;
        assert_eq!((asked(&upstream), corrected), (1, 1.0));
    }

    async fn a_cost_that_nobody_ever_tells_stays_as_it_was_counted(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;
        upstream.document("/generation", 200, json!({"data": {"id": "gen-another", "total_cost": 0.5}}));
        stop_one(&server, &upstream).await;
        let counted = store.number(TOKENS).await;
        until_stored(&store, "SELECT count(*) FROM pending_costs WHERE attempts = 1", 1).await;
        assert_eq!(outcomes(&server, "failed").await, 1.0);
        upstream.document("/generation", 200, json!({"data": {"id": "gen-9", "total_cost": 1e300}}));
        store.execute("UPDATE pending_costs SET attempts = 19").await;
        until_stored(&store, OWED, 0).await;
        assert_eq!((store.number(TOKENS).await, outcomes(&server, "abandoned").await), (counted, 1.0));
        let given_up = |line: &Value| line["msg"] == "the cost of a request that was broken off stays as it was counted";
        assert_eq!(server.wait_for_log("that it is given up", given_up).await["source_id"], "gen-9");
    }

    async fn a_void_attempt_costs_what_the_server_tells_and_the_answer_what_it_said_itself(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;
        upstream.queue(Script::of(&["Half ", "an "]).drop_connection_after(2).generation("gen-9"));
        upstream.queue(Script::of(&["All ", "of it."]).usage(40, 2, 0.001).generation("gen-10"));
        tell(&upstream);
        let mut visitor = ChatClient::connect(&server).await;
        assert_eq!(visitor.ask_and_hear("Is it whole?").await.status(), "complete");
        assert_eq!(store.number(OWED).await, 1);
        until_stored(&store, OWED, 0).await;
        assert_eq!((store.number(TOKENS).await, store.number(NANODOLLARS).await), (42 + 709, 13_300_000));
        assert_eq!(store.number("SELECT prompt_tokens FROM turns").await, 40);
        assert_eq!(asked(&upstream), 1);
    }

    async fn an_answer_that_failed_after_words_is_owed_and_one_that_failed_before_is_not(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream).with("LLM_MAX_RETRIES", 0)).await;
        let mut visitor = ChatClient::connect(&server).await;
        upstream.queue(Script::of(&["No."]).generation("gen-1").error_in_stream_after(0, "server_error", "no"));
        assert_eq!(visitor.ask_and_hear("Before?").await.status(), "failed");
        assert_eq!(store.number(OWED).await, 0);
        let words = Script::of(&["Some ", "words."]).generation("gen-9");
        upstream.queue(words.error_in_stream_after(2, "server_error", "no"));
        assert_eq!(visitor.ask_and_hear("After?").await.status(), "failed");
        tell(&upstream);
        until_stored(&store, OWED, 0).await;
        assert_eq!((store.number(TOKENS).await, asked(&upstream)), (709, 1));
    }

    async fn a_server_corrects_in_its_memory_only_what_it_has_counted_itself(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;
        let other = Server::start(config(&store, &upstream)).await;
        stop_one(&server, &upstream).await;
        server.kill().await;
        tell(&upstream);
        store.execute("UPDATE pending_costs SET due_at_ms = 0").await;
        // With one of its own, which nobody tells yet, the other finds both.
        stop(&other, &upstream, "gen-10").await;
        until_stored(&store, "SELECT count(*) FROM pending_costs WHERE upstream_id = 'gen-9'", 0).await;
        assert_eq!(outcomes(&other, "corrected").await, 1.0);
        let own = store.number(TOKENS).await - 709;
        assert!(own > 0 && own < 709, "{own}");
        assert_eq!(Scrape::of(&other).await.value("budget_used_tokens"), f64::from(i32::try_from(own).unwrap()));
    }

    async fn a_server_that_does_not_tell_is_left_alone_for_a_while(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;
        for generation in ["gen-9", "gen-10"] {
            stop(&server, &upstream, generation).await;
        }
        server.kill().await;
        let before = upstream.lookups().len();
        upstream.document("/generation", 500, json!({"error": {"code": 500, "message": "Not now"}}));
        store.execute("UPDATE pending_costs SET due_at_ms = 0, attempts = 0").await;
        server.restart().await;
        let costs = || -> Vec<Instant> {
            let lookups = upstream.lookups();
            lookups.iter().skip(before).filter(|it| it.path.contains("/generation?")).map(|it| it.at).collect()
        };
        let both = async {
            while costs().len() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("both costs to be asked for", both).await;
        let waited = costs()[1] - costs()[0];
        assert!(waited > Duration::from_millis(1_900), "{waited:?}");
    }

    async fn other_servers_are_not_asked(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1).generation("gen-9"));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        chat.visitor.say(json!({"type": "cancel"})).await;
        chat.visitor.hear_until("done").await;
        assert_eq!((store.number(OWED).await, chat.upstream.lookups().len()), (0, 0));
    }
}

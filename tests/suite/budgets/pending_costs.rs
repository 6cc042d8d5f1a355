//! Pending costs: OpenRouter reports the cost of an aborted request later, and the budgets are
//! corrected then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::cli;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::wait_for_metric;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;
use crate::support::within;

const PENDING_COSTS: &str = "SELECT count(*) FROM pending_costs";
const USED_TOKENS: &str = "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM daily_budgets";
const USED_NANODOLLARS: &str = "SELECT CAST(coalesce(sum(cost_nanodollars), 0) AS BIGINT) FROM daily_budgets";

fn config(store: &FreshStore, upstream: &FakeOpenRouter) -> ServerConfig {
    ServerConfig::openrouter(upstream)
        .with("DATABASE_URL", store.url())
        .with_all(&[("DEGRADED_MODE", "off"), ("SESSION_TOKEN_LIMIT", "100000")])
        .with_all(&[("DAILY_TOKEN_LIMIT_PER_ADDRESS", "100000")])
}

/// Cancels an answer with generation id `gen-9` after its first delta. Returns the session id.
async fn cancel_answer(server: &Server, upstream: &FakeOpenRouter) -> Value {
    cancel_answer_of(server, upstream, "gen-9").await
}

async fn cancel_answer_of(server: &Server, upstream: &FakeOpenRouter, generation: &str) -> Value {
    upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1).generation(generation));
    let mut visitor = ChatClient::connect(server).await;
    let session = visitor.start().await;
    visitor.ask("Count, please.").await;
    receive_text(&mut visitor, "One ").await;
    visitor.send(json!({"type": "cancel"})).await;
    visitor.receive_until("done").await;
    json!(session.session_id)
}

fn report_cost(upstream: &FakeOpenRouter) {
    let data = json!({
        "id": "gen-9", "total_cost": 0.0123, "cancelled": true, "tokens_prompt": 650, "tokens_completion": 8,
        "native_tokens_prompt": 700, "native_tokens_completion": 9,
    });
    upstream.serve_document("/generation", 200, json!({ "data": data }));
}

fn cost_lookups(upstream: &FakeOpenRouter) -> usize {
    upstream.lookups().iter().filter(|lookup| lookup.path.contains("/generation?id=gen-9")).count()
}

async fn outcomes(server: &Server, outcome: &str) -> f64 {
    Scrape::fetch(server).await.value(&format!("budget_cost_lookups_total{{outcome=\"{outcome}\"}}"))
}

on_both_stores! {
    async fn reported_cost_of_a_cancelled_answer_corrects_the_budgets(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;

        cancel_answer(&server, &upstream).await;
        let counted = store.query_number(USED_TOKENS).await;
        assert!(counted > 0 && counted < 700, "{counted}");

        // The first lookup finds nothing.
        wait_until_stored(&store, "SELECT count(*) FROM pending_costs WHERE attempts = 1", 1).await;
        report_cost(&upstream);
        wait_until_stored(&store, PENDING_COSTS, 0).await;

        assert_eq!(
            (store.query_number(USED_TOKENS).await, store.query_number(USED_NANODOLLARS).await),
            (709, 12_300_000)
        );
        for account in ["sessions", "address_budgets"] {
            assert_eq!(store.query_number(&format!("SELECT tokens FROM {account}")).await, 709, "{account}");
        }

        let turn = "SELECT count(*) FROM turns WHERE prompt_tokens = 700 AND completion_tokens = 9
            AND cost_nanodollars = 12300000 AND status = 'cancelled'";
        assert_eq!(store.query_number(turn).await, 1);

        let is_correction =
            |line: &Value| line["msg"] == "pending cost reconciled";
        let line = server.wait_for_log("the correction of the cost", is_correction).await;
        assert_eq!((&line["source_id"], &line["tokens"]), (&json!("gen-9"), &json!(709)), "{line}");

        let scrape = Scrape::fetch(&server).await;
        assert_eq!(scrape.value("budget_used_tokens"), 709.0);
        assert!((scrape.value("budget_used_dollars") - 0.0123).abs() < 1e-9);
        assert_eq!(cost_lookups(&upstream), 2);

        let lookup = upstream.lookups().pop().unwrap();
        assert_eq!(lookup.headers["authorization"], "Bearer sk-or-test-key");
    }

    async fn pending_cost_of_a_deleted_session_is_corrected_by_one_instance(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;

        let session = cancel_answer(&server, &upstream).await;
        server.kill().await;
        assert_eq!(store.query_number(PENDING_COSTS).await, 1);

        cli::run_ok(&store, &["conversations", "delete", "--yes", session.as_str().unwrap()]).await;
        report_cost(&upstream);
        store.execute("UPDATE pending_costs SET due_at_ms = 0").await;
        let other = Server::start(config(&store, &upstream));
        let (other, ()) = tokio::join!(other, server.restart());
        wait_until_stored(&store, PENDING_COSTS, 0).await;

        assert_eq!(
            (store.query_number(USED_TOKENS).await, store.query_number(USED_NANODOLLARS).await),
            (709, 12_300_000)
        );

        // It is counted after it was stored.
        let is_corrected = |entry: &Value| entry["msg"] == "pending cost reconciled";
        tokio::select! {
            _ = server.wait_for_log("the correction", is_corrected) => {}
            _ = other.wait_for_log("the correction", is_corrected) => {}
        }
        let corrected = outcomes(&server, "corrected").await + outcomes(&other, "corrected").await;
        assert_eq!((cost_lookups(&upstream), corrected), (1, 1.0));
    }

    async fn cost_that_is_never_reported_keeps_its_estimate(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;
        upstream.serve_document(
            "/generation",
            200,
            json!({"data": {"id": "gen-another", "total_cost": 0.5}}),
        );

        cancel_answer(&server, &upstream).await;
        let counted = store.query_number(USED_TOKENS).await;
        wait_until_stored(&store, "SELECT count(*) FROM pending_costs WHERE attempts = 1", 1).await;

        wait_for_metric(&server, "budget_cost_lookups_total{outcome=\"failed\"}", 1.0).await;

        upstream.serve_document("/generation", 200, json!({"data": {"id": "gen-9", "total_cost": 1e300}}));
        store.execute("UPDATE pending_costs SET attempts = 19").await;

        wait_until_stored(&store, PENDING_COSTS, 0).await;
        wait_for_metric(&server, "budget_cost_lookups_total{outcome=\"abandoned\"}", 1.0).await;
        assert_eq!(store.query_number(USED_TOKENS).await, counted);

        let given_up =
            |line: &Value| line["msg"] == "pending cost abandoned, keeping the estimate";
        assert_eq!(server.wait_for_log("the end of the lookups", given_up).await["source_id"], "gen-9");
    }

    async fn failed_attempt_and_final_answer_are_both_charged(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream)).await;
        upstream.queue(Script::from_words(&["Half ", "an "]).drop_connection_after(2).generation("gen-9"));
        upstream.queue(Script::from_words(&["All ", "of it."]).usage(40, 2, 0.001).generation("gen-10"));

        report_cost(&upstream);
        let mut visitor = ChatClient::connect(&server).await;
        let done = visitor.ask_and_wait("Is it whole?").await.done;
        assert_eq!((&done["status"], &done["usage_estimated"]), (&json!("complete"), &json!(true)), "{done}");
        assert_eq!(store.query_number(PENDING_COSTS).await, 1);

        wait_until_stored(&store, PENDING_COSTS, 0).await;
        assert_eq!(
            (store.query_number(USED_TOKENS).await, store.query_number(USED_NANODOLLARS).await),
            (42 + 709, 13_300_000)
        );
        // The turn has the usage of both requests, and nothing of it is an estimate any more.
        let turn = "SELECT count(*) FROM turns WHERE prompt_tokens = 740 AND completion_tokens = 11
            AND cost_nanodollars = 13300000 AND estimated_requests = 0";
        assert_eq!(store.query_number(turn).await, 1);
        assert_eq!(cost_lookups(&upstream), 1);
    }

    async fn only_an_answer_that_failed_after_a_delta_has_a_pending_cost(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(config(&store, &upstream).with("LLM_MAX_RETRIES", 0)).await;
        let mut visitor = ChatClient::connect(&server).await;
        upstream.queue(Script::from_words(&["No."]).generation("gen-1").error_in_stream_after(
            0,
            "server_error",
            "no",
        ));

        assert_eq!(visitor.ask_and_wait("Before?").await.status(), "failed");
        assert_eq!(store.query_number(PENDING_COSTS).await, 0);

        let words = Script::from_words(&["Some ", "words."]).generation("gen-9");
        upstream.queue(words.error_in_stream_after(2, "server_error", "no"));
        assert_eq!(visitor.ask_and_wait("After?").await.status(), "failed");

        report_cost(&upstream);
        wait_until_stored(&store, PENDING_COSTS, 0).await;
        assert_eq!((store.query_number(USED_TOKENS).await, cost_lookups(&upstream)), (709, 1));
    }

    async fn instance_corrects_only_costs_that_it_charged_itself(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;
        let other = Server::start(config(&store, &upstream)).await;

        cancel_answer(&server, &upstream).await;
        server.kill().await;
        report_cost(&upstream);
        store.execute("UPDATE pending_costs SET due_at_ms = 0").await;
        // A pending cost of its own, not reported yet, makes the other instance look up both.
        cancel_answer_of(&other, &upstream, "gen-10").await;
        wait_until_stored(&store, "SELECT count(*) FROM pending_costs WHERE upstream_id = 'gen-9'", 0).await;

        assert_eq!(outcomes(&other, "corrected").await, 1.0);

        let own = store.query_number(USED_TOKENS).await - 709;
        assert!(own > 0 && own < 709, "{own}");
        assert_eq!(
            Scrape::fetch(&other).await.value("budget_used_tokens"),
            f64::from(i32::try_from(own).unwrap())
        );
    }

    async fn failed_cost_lookup_delays_the_next_one(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(config(&store, &upstream)).await;

        for generation in ["gen-9", "gen-10"] {
            cancel_answer_of(&server, &upstream, generation).await;
        }
        server.kill().await;
        let before = upstream.lookups().len();
        upstream.serve_document("/generation", 500, json!({"error": {"code": 500, "message": "Not now"}}));
        store.execute("UPDATE pending_costs SET due_at_ms = 0, attempts = 0").await;
        server.restart().await;
        let lookup_times = || -> Vec<Instant> {
            let lookups = upstream.lookups().into_iter().skip(before);
            let cost_lookups = lookups.filter(|lookup| lookup.path.contains("/generation?"));
            cost_lookups.map(|lookup| lookup.received_at).collect()
        };
        let both_looked_up = async {
            while lookup_times().len() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("both cost lookups", both_looked_up).await;
        let waited = lookup_times()[1] - lookup_times()[0];

        assert!(waited > Duration::from_millis(1_900), "{waited:?}");
    }

    async fn costs_are_looked_up_only_at_openrouter(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1).generation("gen-9"));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.visitor.send(json!({"type": "cancel"})).await;
        chat.visitor.receive_until("done").await;

        assert_eq!((store.query_number(PENDING_COSTS).await, chat.upstream.lookups().len()), (0, 0));
    }
}

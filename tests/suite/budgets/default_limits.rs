//! The limits that hold without any setting, and how they are turned off.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::StoreKind;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

/// The limits that the configuration of tests turns off; an empty value removes the setting.
const DEFAULTS: [(&str, &str); 5] = [
    ("DAILY_TOKEN_LIMIT", ""),
    ("DAILY_TOKEN_LIMIT_PER_ADDRESS", ""),
    ("DAILY_COST_LIMIT", ""),
    ("TRUSTED_PROXIES", "127.0.0.1"),
    ("DEGRADED_MODE", "off"),
];

const RESUME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md");

fn defaults_with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    DEFAULTS.iter().chain(more).copied().collect()
}

async fn connect_from(server: &Server, address: &str) -> ChatClient {
    let handshake = Handshake::new().header("X-Forwarded-For", address);
    let visitor = ChatClient::connect_with(server, &handshake).await;
    visitor.unwrap_or_else(|rejection| panic!("{rejection:?}"))
}

/// Asks from an address and returns the tokens of the answer, or the code of the refusal.
async fn ask_from(server: &Server, address: &str) -> Result<u64, String> {
    let mut visitor = connect_from(server, address).await;
    visitor.start().await;
    visitor.ask("What did she do?").await;
    loop {
        let frame = visitor.receive().await;
        match frame["type"].as_str() {
            Some("error") => return Err(frame["code"].as_str().unwrap_or_default().to_owned()),
            Some("done") => {
                assert_eq!(frame["status"], "complete", "{frame}");
                let count = |name: &str| frame["usage"][name].as_u64().unwrap_or_default();
                return Ok(count("prompt_tokens") + count("completion_tokens"));
            }
            _ => {}
        }
    }
}

/// An answer that nearly uses up the default limit of an address.
fn expensive_answer() -> Script {
    Script::from_words(&["Dear."]).usage(100_000, 99_900, None)
}

async fn rejections(server: &Server, scope: &str) -> f64 {
    Scrape::fetch(server).await.value(&format!("budget_rejections_total{{scope=\"{scope}\"}}"))
}

on_both_stores! {
    async fn one_address_cannot_use_more_than_its_default_limit(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &DEFAULTS).await;
        chat.upstream.queue(expensive_answer());

        assert_eq!(ask_from(&chat.server, "203.0.113.7").await, Ok(199_900));
        for _ in 0..2 {
            assert_eq!(ask_from(&chat.server, "203.0.113.7").await, Err("BUDGET_EXCEEDED".to_owned()));
        }
        assert!(ask_from(&chat.server, "203.0.113.8").await.is_ok());

        chat.server.kill().await;
        chat.server.restart().await;

        assert_eq!(ask_from(&chat.server, "203.0.113.7").await, Err("BUDGET_EXCEEDED".to_owned()));
        assert!(ask_from(&chat.server, "203.0.113.8").await.is_ok());
        assert_eq!(chat.upstream.requests().len(), 3, "a refused question was sent upstream");
    }

    async fn networks_of_one_slash_48_share_four_times_the_limit_of_an_address(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &DEFAULTS).await;
        chat.upstream.always(expensive_answer());

        for network in 1..=4 {
            let address = format!("2001:db8:0:{network:x}::1");
            assert_eq!(ask_from(&chat.server, &address).await, Ok(199_900), "{address}");
        }
        for network in 5..=120 {
            let address = format!("2001:db8:0:{network:x}::1");
            assert_eq!(ask_from(&chat.server, &address).await, Err("BUDGET_EXCEEDED".to_owned()), "{address}");
        }
        assert_eq!((rejections(&chat.server, "network").await, rejections(&chat.server, "address").await), (116.0, 0.0));

        chat.server.kill().await;
        chat.server.restart().await;

        assert_eq!(ask_from(&chat.server, "2001:db8:0:ffff::1").await, Err("BUDGET_EXCEEDED".to_owned()));
        assert!(ask_from(&chat.server, "2001:db8:1:1::1").await.is_ok());
        assert!(ask_from(&chat.server, "203.0.113.7").await.is_ok());
        assert_eq!(chat.upstream.requests().len(), 6);
        let accounts = store.query_number("SELECT count(*) FROM address_budgets").await;
        assert_eq!(accounts, 8, "six addresses and two networks have an account");
    }

    async fn all_addresses_together_cannot_use_more_than_the_default_limit_of_the_day(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &DEFAULTS).await;
        chat.upstream.always(expensive_answer());

        for number in 1..=10 {
            assert_eq!(ask_from(&chat.server, &format!("203.0.113.{number}")).await, Ok(199_900));
        }
        assert_eq!(ask_from(&chat.server, "203.0.113.11").await, Err("BUDGET_EXCEEDED".to_owned()));

        chat.server.kill().await;
        chat.server.restart().await;

        assert_eq!(ask_from(&chat.server, "203.0.113.12").await, Err("BUDGET_EXCEEDED".to_owned()));
        assert_eq!(rejections(&chat.server, "day").await, 1.0);
        assert_eq!(chat.upstream.requests().len(), 10);
    }

    async fn costs_that_the_server_reports_count_without_prices(store: FreshStore) {
        let chat = Chat::with_store(&store, &defaults_with(&[("DAILY_TOKEN_LIMIT", "off")])).await;
        chat.upstream.always(Script::from_words(&["Dear."]).usage(100, 10, 5.0));

        assert_eq!(ask_from(&chat.server, "203.0.113.1").await, Ok(110));
        chat.upstream.always(Script::from_words(&["Dear."]).usage(100, 10, 0.01));
        assert_eq!(ask_from(&chat.server, "203.0.113.2").await, Ok(110), "exactly five dollars are used");
        assert_eq!(ask_from(&chat.server, "203.0.113.3").await, Err("BUDGET_EXCEEDED".to_owned()));
    }
}

#[tokio::test]
async fn off_means_no_limit_and_is_said_plainly() {
    let limits =
        ["DAILY_TOKEN_LIMIT", "DAILY_TOKEN_LIMIT_PER_ADDRESS", "DAILY_COST_LIMIT"].map(|name| (name, "off"));
    let chat = Chat::new(&defaults_with(&limits)).await;
    chat.upstream.always(Script::from_words(&["Dear."]).usage(100_000, 100_000, 4.0));

    for _ in 0..12 {
        assert_eq!(ask_from(&chat.server, "2001:db8::1").await, Ok(200_000));
    }
    let budget = get(&chat.server, "/health").await.json()["checks"]["budget"].clone();
    for words in
        ["no limit on the tokens of a day", "no limit per client address", "no limit on the cost of a day"]
    {
        assert!(budget["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{budget}");
    }
    let log = chat.server.wait_for_log("the daily budget", |line| line["msg"] == "daily budget").await;
    assert_eq!(log["ceiling"], budget["detail"]);
}

#[tokio::test]
async fn most_that_a_day_can_cost_is_said_at_startup_by_check_and_by_health() {
    let prices = [("LLM_PRICE_PROMPT", "0.15"), ("LLM_PRICE_COMPLETION", "0.6")];
    let sentence = "at most 2,000,000 tokens a day; at most 200,000 tokens a day per client address; \
                    at most 1.20 dollars a day";
    let chat = Chat::new(&defaults_with(&prices)).await;
    let log = chat.server.wait_for_log("the daily budget", |line| line["msg"] == "daily budget").await;
    assert_eq!((&log["ceiling"], &log["level"]), (&Value::from(sentence), &Value::from("info")));
    let health = get(&chat.server, "/health").await.json();
    assert_eq!(health["checks"]["budget"]["detail"], sentence);
    assert_eq!(
        (&health["status"], &health["checks"]["budget"]["status"]),
        (&Value::from("healthy"), &Value::from("healthy"))
    );

    let basic = [
        ("RESUME_PATH", RESUME),
        ("OPENROUTER_API_KEY", "test-key"),
        ("LLM_BASE_URL", "http://127.0.0.1:9/v1"),
    ];
    for (settings, expected) in [
        (&prices[..], vec!["at most 2,000,000 tokens a day\n", "at most 1.20 dollars a day\n"]),
        (
            &[][..],
            vec!["prices unknown, so that the limit of 5.00 dollars a day applies to reported costs only\n"],
        ),
        (&[("DAILY_TOKEN_LIMIT", "off")][..], vec!["no limit on the tokens of a day\n"]),
        // The defaults leave room for large exchanges.
        (
            &[("MAX_CONTEXT_TOKENS", "1000000")][..],
            vec!["at most 10,000,000 tokens a day\n", "at most 4,000,000 tokens"],
        ),
    ] {
        let output = run_command(&["check"], &[&basic[..], settings].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        for words in expected {
            assert!(output.stdout.contains(&format!("  {words}")), "{words} is not in {}", output.stdout);
        }
    }
}

#[tokio::test]
async fn prices_that_the_model_server_names_count_unless_the_owner_has_set_prices() {
    let pricing = json!({"prompt": "0.00000015", "completion": "0.0000006"});
    let models = json!({"data": [{"id": "test/model", "context_length": 128_000, "pricing": pricing}]});
    for (settings, dollars) in [
        (&[][..], "at most 1.20 dollars a day"),
        (&[("LLM_PRICE_PROMPT", "0.1"), ("LLM_PRICE_COMPLETION", "0.4")][..], "at most 0.80 dollars a day"),
    ] {
        let upstream = FakeOpenRouter::start().await;
        upstream.serve_document("/api/v1/models", 200, models.clone());
        let config = ServerConfig::command(&["serve"])
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", upstream.base_url())
            .with("LLM_MODEL", "test/model");
        let chat = Chat::from_config(config, upstream, &defaults_with(settings)).await;
        let is_ceiling = |line: &Value| {
            line["msg"] == "daily budget"
                && line["ceiling"].as_str().is_some_and(|text| text.ends_with(dollars))
        };
        chat.server.wait_for_log("the budget by the prices", is_ceiling).await;
        chat.server.wait_for_log("the report", |line| line["msg"] == "model server described itself").await;
        let health = get(&chat.server, "/health").await.json();
        let detail = health["checks"]["budget"]["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.ends_with(dollars), "{detail}");

        let base_url = chat.upstream.base_url();
        let basic = [
            ("RESUME_PATH", RESUME),
            ("OPENROUTER_API_KEY", "test-key"),
            ("LLM_BASE_URL", base_url.as_str()),
            ("LLM_MODEL", "test/model"),
        ];
        let output = run_command(&["check"], &[&basic[..], settings].concat()).await;
        assert!(output.stdout.contains(&format!("  {dollars}\n")), "{output:?}");
    }
}

#[tokio::test]
async fn demo_costs_nothing() {
    let server =
        Server::start(DEFAULTS.iter().fold(ServerConfig::demo(), |config, (name, _)| config.without(name)))
            .await;
    let health = get(&server, "/health").await.json();
    assert_eq!(health["checks"]["budget"]["detail"], "no model, so that answers cost nothing");
    assert!(server.logs().iter().all(|line| line["msg"] != "daily budget"));
}

#[tokio::test]
async fn default_limits_do_not_end_the_chat_while_the_database_is_unavailable() {
    let name = format!("{}::default_limits_in_an_outage", module_path!());
    let Some(store) = StoreKind::Postgres.create_for(&name).await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut chat = Chat::from_config(ServerConfig::serve(&store, &upstream), upstream, &DEFAULTS).await;
    chat.visitor.start().await;
    chat.upstream.queue(expensive_answer());

    let outage = store.take_offline().await;
    let answer = chat.visitor.ask_and_wait("Where?").await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &Value::from(false)));
    // What this process used counts, although the account could not be loaded.
    chat.visitor.ask("And now?").await;
    chat.visitor.expect_error("BUDGET_EXCEEDED").await;

    outage.end().await;
    chat.server.wait_for_log("the end of the outage", |line| line["msg"] == "database available again").await;
    chat.visitor.ask("And now?").await;
    chat.visitor.expect_error("BUDGET_EXCEEDED").await;
}

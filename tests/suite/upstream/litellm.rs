//! LiteLLM's proxy as the model server: mocked answers, errors, fallbacks and keys. The results
//! must equal the table in `docs/upstream.md`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::client::answer::Answer;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::http::get_url;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::external_tools::{path_from_env, repository_path};

const UPSTREAM_PAGE: &str = include_str!("../../../docs/upstream.md");

const TABLE_HEAD: &str = "| `LLM_MODEL` | LiteLLM | the visitor gets | requests |";

/// The deadline of the first start, at which Python compiles a hundred thousand lines.
const START: Duration = Duration::from_secs(240);

const KEY: &str = "sk-trial";

const CONFIG: &str = r#"
model_list:
  - model_name: mocked
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "Ada led the timetable service."}
  - model_name: limited
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "litellm.RateLimitError"}
  - model_name: failing
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "litellm.InternalServerError"}
  - model_name: overflowing
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "litellm.ContextWindowExceededError"}
  - model_name: unreachable
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, api_base: "http://127.0.0.1:9/v1"}
  - model_name: replaced
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "litellm.InternalServerError"}
general_settings: {master_key: sk-trial}
router_settings: {num_retries: 0, fallbacks: [{"replaced": ["mocked"]}]}
"#;

/// A running proxy, killed when dropped.
struct LiteLlm {
    address: SocketAddr,
    _process: Child,
    _home: TempDir,
}

impl LiteLlm {
    /// Starts the proxy and waits until it is alive.
    async fn start(program: &Path) -> Self {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for LiteLLM: {error}"));
        let config = home.path().join("litellm.yaml");
        std::fs::write(&config, CONFIG).unwrap_or_else(|error| panic!("could not write {config:?}: {error}"));
        let address = free_address();
        let log = std::fs::File::create(home.path().join("log"));
        let log = log.unwrap_or_else(|error| panic!("no log for LiteLLM: {error}"));
        let errors = log.try_clone().unwrap_or_else(|error| panic!("no log for LiteLLM: {error}"));
        let mut process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .current_dir(home.path())
            .env("PYTHONPATH", repository_path("tests/tools/litellm"))
            // Without bytecode every start takes as long as the first.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            // Neither prices nor anything else may be fetched.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {program:?}: {error}"));
        let waiting = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let ended = tokio::select! {
            () = waiting => None,
            ended = process.wait() => Some(format!("it ended: {ended:?}")),
            () = tokio::time::sleep(START) => Some(format!("it does not listen after {START:?}")),
        };
        if let Some(ended) = ended {
            let log = std::fs::read_to_string(home.path().join("log")).unwrap_or_default();
            panic!("LiteLLM did not start; {ended}; its output:\n{log}");
        }
        let alive = get_url(&format!("http://{address}/health/liveliness")).await;
        assert_eq!(alive.status, 200, "{alive:?}");
        Self { address, _process: process, _home: home }
    }
}

/// Returns an address that nothing listens on. The proxy cannot choose one itself.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}"))
}

/// A row of the table: what is set, and what LiteLLM does.
struct Scenario {
    model: &'static str,
    does: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const fn scenario(model: &'static str, does: &'static str) -> Scenario {
    Scenario { model, does, settings: &[] }
}

const SCENARIOS: [Scenario; 9] = [
    scenario("mocked", "streams, with usage"),
    scenario("limited", "429"),
    scenario("failing", "500"),
    scenario("overflowing", "400, `ContextWindowExceededError` in the message"),
    scenario("unreachable", "500, after its own connection failed"),
    scenario("replaced", "falls back to `mocked` itself"),
    scenario("unknown", "400, `Invalid model name`"),
    Scenario {
        model: "unknown",
        does: "400, then streams, with `LLM_FALLBACK_MODELS=mocked`",
        settings: &[("LLM_FALLBACK_MODELS", "mocked")],
    },
    Scenario {
        model: "mocked",
        does: "400, `No connected db`, with another key",
        settings: &[("OPENROUTER_API_KEY", "sk-another")],
    },
];

impl Scenario {
    /// Asks one question and returns the row.
    async fn play(&self, address: SocketAddr) -> String {
        let config = ServerConfig::command(&["serve"])
            .with("OPENROUTER_API_KEY", KEY)
            .with("LLM_BASE_URL", format!("http://{address}/v1"))
            .with("LLM_MODEL", self.model)
            .with("LLM_MAX_RETRIES", "1")
            .with_all(self.settings);
        let server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        let answer = visitor.ask_and_wait("What did Ada lead?").await;
        let is_end = |entry: &Value| entry["msg"] == "turn ended";
        server.wait_for_log("the end of the turn", is_end).await;
        let retries = server.logs().iter().filter(|line| line["msg"] == "retrying upstream request").count();
        let Self { model, does, .. } = self;
        format!("| `{model}` | {does} | {} | {} |", describe(&answer), retries + 1)
    }
}

fn describe(answer: &Answer) -> String {
    if !answer.error.is_null() {
        return format!("`{}`", answer.error["code"].as_str().unwrap_or_default());
    }
    if answer.done["mode"] == "excerpts" {
        return "quotes".to_owned();
    }
    assert_eq!((answer.text.as_str(), answer.status()), ("Ada led the timetable service.", "complete"));
    let usage = &answer.done["usage"];
    assert!(usage["prompt_tokens"].as_u64() > Some(100), "{usage}");
    assert!(usage["completion_tokens"].as_u64() > Some(3), "{usage}");
    "the text, `complete`".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_through_litellm_match_the_page() {
    let Some(program) = path_from_env("TEST_LITELLM", "LiteLLM") else { return };
    let proxy = LiteLlm::start(&program).await;
    let mut rows = Vec::new();
    for scenario in &SCENARIOS {
        rows.push(scenario.play(proxy.address).await);
    }
    let table =
        UPSTREAM_PAGE.split(TABLE_HEAD).nth(1).unwrap_or_else(|| panic!("the page has no {TABLE_HEAD}"));
    let documented: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(documented, rows, "docs/upstream.md should have:\n{}", rows.join("\n"));
}

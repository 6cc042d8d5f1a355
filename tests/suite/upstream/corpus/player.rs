//! Plays a case: its upstream, a server process of its own, and a visitor.

use crate::support::client::answer::Answer;
use crate::support::client::chat::FAIL_FAST;
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::test_server::Server;
use crate::support::upstream::raw_upstream::RawUpstream;
use crate::upstream::corpus::case::Case;
use crate::upstream::corpus::expectation::Found;

/// The metric that counts what was odd in responses, up to the name of the kind.
const IGNORED: &str = "resume_chatbot_upstream_ignored_total{kind=\"";

/// Plays the case and returns what differs from its expectations, one line each.
pub(super) async fn play(case: &Case) -> Vec<String> {
    let upstream = RawUpstream::start(case.raw_responses(), case.raw_documents()).await;
    let base = ServerConfig::command(&["serve"])
        .with("OPENROUTER_API_KEY", "sk-or-test-key")
        .with("LLM_MODEL", "test/model");
    let config = match case.openrouter {
        true => base.with("LLM_BASE_URL", "http://openrouter.ai/api/v1").with("HTTP_PROXY", upstream.url()),
        false => base.with("LLM_BASE_URL", format!("{}/v1", upstream.url())),
    };
    let config = config.with_all(&FAIL_FAST);
    let config = case.settings.iter().fold(config, |config, (name, value)| match value.as_str() {
        "" => config.without(name),
        value => config.with(name, value),
    });
    let server = Server::start(config).await;
    let mut visitor = ChatClient::connect(&server).await;
    let mut answer = Answer::default();
    for number in 1..=case.questions {
        answer = visitor.ask_and_wait(&format!("What did Ada lead? ({number})")).await;
    }
    let turn = answer.turn_id().to_owned();
    let is_end =
        |entry: &serde_json::Value| entry["msg"] == "turn ended" && entry["turn_id"] == turn.as_str();
    server.wait_for_log("the end of the turn", is_end).await;
    let found = Found {
        answer,
        frames: serde_json::json!(visitor.frames()).to_string(),
        logs: server.logs().iter().map(ToString::to_string).collect(),
        ignored: ignored_kinds(&server).await,
        requests: upstream.requests(),
    };
    let mut differences = case.expect.differences(&found);
    for (number, request) in (1..).zip(&found.requests) {
        let response = case.response.get(number - 1).or(case.response.last());
        let expected = response.map(|response| response.request.differences(number, request));
        differences.extend(expected.unwrap_or_default());
    }
    differences
}

/// Returns the kinds of which something was ignored.
async fn ignored_kinds(server: &Server) -> Vec<String> {
    let scrape = Scrape::fetch(server).await;
    let counted = scrape.series.iter().filter(|(_, value)| **value > 0.0);
    let kinds = counted.filter_map(|(name, _)| name.strip_prefix(IGNORED)?.strip_suffix("\"}"));
    kinds.map(ToOwned::to_owned).collect()
}

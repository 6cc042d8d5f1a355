//! A whole scene in one step: a scripted upstream, a server that asks it, a visitor who is connected.

use serde_json::Value;

use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::{PATIENCE, within};

/// Settings under which each failure of the model's server reaches the visitor as it is: no quotes, no second try, no pause.
pub(crate) const AS_IT_FAILS: [(&str, &str); 3] =
    [("DEGRADED_MODE", "off"), ("LLM_MAX_RETRIES", "0"), ("LLM_BREAKER_FAILURES", "0")];

/// A visitor's chat with a server of the test's own; it all ends when dropped.
pub(crate) struct Chat {
    /// Connected, and has not said anything.
    pub(crate) visitor: ChatClient,
    /// Asks `upstream`.
    pub(crate) server: Server,
    /// Echoes until told otherwise.
    pub(crate) upstream: FakeOpenRouter,
}

impl Chat {
    /// On a database file that goes with the server, with these settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::command(&["serve"])
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", upstream.base_url())
            .with("LLM_MODEL", "test/model");
        Self::of(config, upstream, settings).await
    }

    /// As [`Chat::with`], of a server that takes the upstream for OpenRouter, which it reaches by way of a proxy.
    pub(crate) async fn with_openrouter(settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::openrouter(&upstream);
        Self::of(config, upstream, settings).await
    }

    /// On this store, with these settings.
    pub(crate) async fn on(store: &FreshStore, settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        Self::of(ServerConfig::serve(store, &upstream), upstream, settings).await
    }

    /// With a configuration of one's own; an empty setting is left out.
    pub(crate) async fn of(
        config: ServerConfig,
        upstream: FakeOpenRouter,
        settings: &[(&str, &str)],
    ) -> Self {
        let set = |config: ServerConfig, (name, value): &(&str, &str)| match *value {
            "" => config.without(name),
            value => config.with(name, value),
        };
        let server = Server::start(settings.iter().fold(config, set)).await;
        let visitor = ChatClient::connect(&server).await;
        Self { visitor, server, upstream }
    }

    /// Another connection to the same server.
    pub(crate) async fn another(&self) -> ChatClient {
        ChatClient::connect(&self.server).await
    }

    /// Kills the server and starts it again, and connects anew.
    pub(crate) async fn kill_and_start_again(&mut self) {
        self.server.kill().await;
        self.server.restart().await;
        self.visitor = self.another().await;
    }

    /// Waits until the server's log says that a turn has ended, and returns the entry.
    pub(crate) async fn turn_ended(&self) -> Value {
        self.server.wait_for_log("the end of a turn", |entry| entry["msg"] == "turn ended").await
    }
}

/// Hears deltas until they make up `text`; returns the last of them. What comes between is skipped.
pub(crate) async fn hear_text(visitor: &mut ChatClient, text: &str) -> Value {
    let mut heard = String::new();
    loop {
        let delta = visitor.hear_until("delta").await.pop().unwrap_or_default();
        heard.push_str(delta["text"].as_str().unwrap_or_default());
        if heard == text {
            return delta;
        }
        assert!(text.starts_with(&heard), "waited for the words {text:?}; what came instead: {heard:?}");
    }
}

/// Every question in the order in which it was stored.
pub(crate) const QUESTIONS_IN_ORDER: &str =
    "SELECT messages.content FROM messages JOIN turns ON turns.id = messages.turn_id
    WHERE messages.role = 'user' ORDER BY turns.id";

/// Waits until a query returns this number. Nobody is told of a commit, so it is asked for again and again.
pub(crate) async fn until_stored(store: &FreshStore, query: &str, number: i64) {
    let reached = async {
        while store.number(query).await != number {
            tokio::time::sleep(PATIENCE / 200).await;
        }
    };
    within(&format!("{query:?} to return {number}"), reached).await;
}

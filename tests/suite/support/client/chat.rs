//! A complete test set-up: a scripted model server, a server that uses it, and a connected client.

use serde_json::Value;

use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::{TIMEOUT, within};

/// Settings under which the visitor sees each failure of the model server: no fallback, no retry,
/// no circuit breaker.
pub(crate) const FAIL_FAST: [(&str, &str); 3] =
    [("DEGRADED_MODE", "off"), ("LLM_MAX_RETRIES", "0"), ("LLM_BREAKER_FAILURES", "0")];

/// A visitor, a server and a model server. All of them stop when this is dropped.
pub(crate) struct Chat {
    /// A connected client that has not sent anything yet.
    pub(crate) visitor: ChatClient,
    /// The server under test. It uses `upstream`.
    pub(crate) server: Server,
    /// The model server. It echoes questions until a script is set.
    pub(crate) upstream: FakeOpenRouter,
}

impl Chat {
    /// Starts a server with these settings on its own SQLite file.
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::command(&["serve"])
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", upstream.base_url())
            .with("LLM_MODEL", "test/model");
        Self::from_config(config, upstream, settings).await
    }

    /// Like [`Chat::new`], but the server believes it talks to OpenRouter, through an HTTP proxy.
    pub(crate) async fn with_openrouter(settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::openrouter(&upstream);
        Self::from_config(config, upstream, settings).await
    }

    /// Starts a server with these settings on this store.
    pub(crate) async fn with_store(store: &FreshStore, settings: &[(&str, &str)]) -> Self {
        let upstream = FakeOpenRouter::start().await;
        Self::from_config(ServerConfig::serve(store, &upstream), upstream, settings).await
    }

    /// Starts a server with this configuration and these settings. An empty value removes a
    /// setting.
    pub(crate) async fn from_config(
        config: ServerConfig,
        upstream: FakeOpenRouter,
        settings: &[(&str, &str)],
    ) -> Self {
        let apply = |config: ServerConfig, (name, value): &(&str, &str)| match *value {
            "" => config.without(name),
            value => config.with(name, value),
        };
        let server = Server::start(settings.iter().fold(config, apply)).await;
        let visitor = ChatClient::connect(&server).await;
        Self { visitor, server, upstream }
    }

    /// Opens another connection to the same server.
    pub(crate) async fn connect(&self) -> ChatClient {
        ChatClient::connect(&self.server).await
    }

    /// Opens a new connection for the visitor, and drops the old one without a close frame.
    pub(crate) async fn drop_and_reconnect(&mut self) {
        let connection = self.connect().await;
        std::mem::replace(&mut self.visitor, connection).drop_abruptly();
    }

    /// Kills the server, starts it again and reconnects the visitor.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.server.kill().await;
        self.server.restart().await;
        self.visitor = self.connect().await;
    }

    /// Waits for the log entry of the first turn that ended, and returns it.
    pub(crate) async fn wait_for_turn_end(&self) -> Value {
        self.server.wait_for_log("the end of a turn", |entry| entry["msg"] == "turn ended").await
    }
}

/// Receives deltas until their text equals `text`, ignoring other frames. Returns the last delta.
pub(crate) async fn receive_text(visitor: &mut ChatClient, text: &str) -> Value {
    let mut received = String::new();
    loop {
        let delta = visitor.receive_until("delta").await.pop().unwrap_or_default();
        received.push_str(delta["text"].as_str().unwrap_or_default());
        if received == text {
            return delta;
        }
        assert!(text.starts_with(&received), "expected {text:?}, received {received:?}");
    }
}

/// Selects every question, in the order of the turns.
pub(crate) const QUESTIONS_IN_ORDER: &str =
    "SELECT messages.content FROM messages JOIN turns ON turns.id = messages.turn_id
    WHERE messages.role = 'user' ORDER BY turns.id";

/// Polls until a query returns this number.
pub(crate) async fn wait_until_stored(store: &FreshStore, query: &str, number: i64) {
    let polling = async {
        while store.query_number(query).await != number {
            tokio::time::sleep(TIMEOUT / 200).await;
        }
    };
    within(&format!("{query:?} to return {number}"), polling).await;
}

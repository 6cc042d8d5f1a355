//! WebDriver BiDi: commands and events on one WebSocket. Firefox is driven with it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::page_functions;

/// The deadline for a command. A browser and its first page start slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most warnings and errors that are kept for one test.
const MAX_PROBLEMS: usize = 1000;

/// A session over BiDi.
pub(super) struct Bidi {
    connection: Mutex<Connection>,
    /// The tab that receives commands.
    tab: std::sync::Mutex<String>,
}

struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    /// Warnings and errors in the console since the last call that returned them.
    problems: Vec<String>,
}

impl Bidi {
    /// Starts a session with the browser that listens at this URL.
    pub(super) async fn connect(url: &str) -> Self {
        let connecting = tokio::time::timeout(TIMEOUT, connect_async(format!("{url}/session"))).await;
        let connected = connecting.unwrap_or_else(|_| panic!("no connection to {url} within {TIMEOUT:?}"));
        let (socket, _) = connected.unwrap_or_else(|error| panic!("no connection to {url}: {error}"));
        let connection = Connection { socket, last_id: 0, problems: Vec::new() };
        let bidi = Self { connection: Mutex::new(connection), tab: std::sync::Mutex::default() };
        bidi.command("session.new", json!({ "capabilities": {} })).await;
        bidi.command("session.subscribe", json!({ "events": ["log.entryAdded"] })).await;
        bidi.replace_first_tab().await;
        bidi
    }

    /// Replaces the tab that the browser has started with: its document never has the focus, so
    /// that keys press no buttons in it.
    async fn replace_first_tab(&self) {
        let first = self.tabs().await;
        let tab = self.open_tab().await;
        self.switch_to(&tab).await;
        for context in first {
            self.command("browsingContext.close", json!({ "context": context })).await;
        }
    }

    /// Opens a page and waits until it is loaded.
    pub(super) async fn navigate(&self, url: &str) {
        let target = json!({ "context": self.tab(), "url": url, "wait": "complete" });
        self.command("browsingContext.navigate", target).await;
    }

    /// Reloads the page and waits until it is loaded.
    pub(super) async fn reload(&self) {
        let target = json!({ "context": self.tab(), "wait": "complete" });
        self.command("browsingContext.reload", target).await;
    }

    /// Evaluates an expression of [`page_functions::evaluation`].
    pub(super) async fn evaluate(&self, evaluation: &str) -> Result<Value, String> {
        let evaluation = json!({
            "expression": evaluation,
            "target": { "context": self.tab() },
            "awaitPromise": true,
            "userActivation": true,
        });
        let result = self.try_command("script.evaluate", evaluation).await?;
        match result.pointer("/result/value") {
            Some(value) => page_functions::value_of(value),
            None => Err(format!("no value in {result}")),
        }
    }

    /// Performs input actions.
    pub(super) async fn perform(&self, actions: Value) {
        let actions = json!({ "context": self.tab(), "actions": actions });
        self.command("input.performActions", actions).await;
    }

    /// Returns a picture of the viewport, a PNG in base64.
    pub(super) async fn screenshot(&self) -> String {
        let target = json!({ "context": self.tab() });
        let picture = self.command("browsingContext.captureScreenshot", target).await;
        picture.get("data").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns the identifiers of all tabs.
    pub(super) async fn tabs(&self) -> Vec<String> {
        let tree = self.command("browsingContext.getTree", json!({ "maxDepth": 0 })).await;
        let contexts = tree.get("contexts").and_then(Value::as_array).into_iter().flatten();
        contexts.filter_map(|context| Some(context.get("context")?.as_str()?.to_owned())).collect()
    }

    /// Opens a tab without switching to it.
    pub(super) async fn open_tab(&self) -> String {
        let tab = self.command("browsingContext.create", json!({ "type": "tab" })).await;
        tab.get("context").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Sends all later commands to this tab.
    pub(super) async fn switch_to(&self, tab: &str) {
        tab.clone_into(&mut crate::support::lock(&self.tab));
        self.command("browsingContext.activate", json!({ "context": tab })).await;
    }

    /// Sets the size of the viewport of the current tab in CSS pixels, and the device pixels per
    /// CSS pixel.
    pub(super) async fn set_viewport(&self, width: u32, height: u32, ratio: f64) {
        let viewport = json!({
            "context": self.tab(),
            "viewport": { "width": width, "height": height },
            "devicePixelRatio": ratio,
        });
        self.command("browsingContext.setViewport", viewport).await;
    }

    /// Disconnects the current tab from the network, or connects it again.
    pub(super) async fn set_offline(&self, offline: bool) {
        let conditions = if offline { json!({ "type": "offline" }) } else { Value::Null };
        let conditions = json!({ "contexts": [self.tab()], "networkConditions": conditions });
        self.command("emulation.setNetworkConditions", conditions).await;
    }

    /// Returns the new warnings and errors in the console.
    pub(super) async fn console_problems(&self) -> Vec<String> {
        // Events that the browser has sent before the response are read with it.
        self.command("session.status", json!({})).await;
        std::mem::take(&mut self.connection.lock().await.problems)
    }

    fn tab(&self) -> String {
        crate::support::lock(&self.tab).clone()
    }

    async fn command(&self, method: &str, parameters: Value) -> Value {
        self.try_command(method, parameters).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_command(&self, method: &str, parameters: Value) -> Result<Value, String> {
        let mut connection = self.connection.lock().await;
        match tokio::time::timeout(TIMEOUT, connection.exchange(method, parameters)).await {
            Ok(result) => result,
            Err(_) => Err(format!("{method}: no response from the browser within {TIMEOUT:?}")),
        }
    }
}

impl Connection {
    /// Sends a command and reads until its response.
    async fn exchange(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.last_id += 1;
        let id = self.last_id;
        let command = json!({ "id": id, "method": method, "params": parameters });
        let sent = self.socket.send(Message::text(command.to_string())).await;
        sent.map_err(|error| format!("{method}: {error}"))?;
        while let Some(message) = self.socket.next().await {
            let message = message.map_err(|error| format!("{method}: {error}"))?;
            let Message::Text(text) = message else { continue };
            let mut message: Value =
                serde_json::from_str(&text).map_err(|error| format!("{method}: {error} in {text}"))?;
            // The response to a command that timed out may still arrive.
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                self.record(&message);
            } else if message.get("type") == Some(&json!("success")) {
                return Ok(message.get_mut("result").map(Value::take).unwrap_or_default());
            } else {
                return Err(format!("{method} failed: {message}"));
            }
        }
        Err(format!("{method}: the browser closed the connection"))
    }

    fn record(&mut self, event: &Value) {
        let field = |name: &str| event.pointer(&format!("/params/{name}")).and_then(Value::as_str);
        if matches!(field("level"), Some("error" | "warn")) && self.problems.len() < MAX_PROBLEMS {
            self.problems.push(field("text").unwrap_or_default().to_owned());
        }
    }
}

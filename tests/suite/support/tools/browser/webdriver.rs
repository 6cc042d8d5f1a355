//! Classic WebDriver: one HTTP request per command. Chromium and WebKit are driven with it.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::page_functions;

/// The deadline for a command. A browser and its first page start slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A session with a WebDriver server.
pub(super) struct WebDriver {
    address: SocketAddr,
    session: String,
}

impl WebDriver {
    /// Starts a browser with these capabilities.
    pub(super) async fn start(address: SocketAddr, capabilities: Value) -> Self {
        let mut driver = Self { address, session: String::new() };
        let started = driver.post("", json!({ "capabilities": { "alwaysMatch": capabilities } })).await;
        match started.pointer("/sessionId").and_then(Value::as_str) {
            Some(id) => driver.session = format!("/{id}"),
            None => panic!("the driver started no session: {started}"),
        }
        driver
    }

    /// Opens a page and waits until it is loaded.
    pub(super) async fn navigate(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Reloads the page and waits until it is loaded.
    pub(super) async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// Evaluates an expression of [`page_functions::evaluation`].
    pub(super) async fn evaluate(&self, evaluation: &str) -> std::result::Result<Value, String> {
        let script = format!("const done = arguments[arguments.length - 1]; {evaluation}.then(done)");
        let body = json!({ "script": script, "args": [] });
        let result = self.command("POST", "/execute/async", &body.to_string()).await?;
        page_functions::value_of(&result)
    }

    /// Performs input actions.
    pub(super) async fn perform(&self, actions: Value) {
        self.post("/actions", json!({ "actions": actions })).await;
    }

    /// Returns a picture of the viewport, a PNG in base64.
    pub(super) async fn screenshot(&self) -> String {
        let picture = self.get("/screenshot").await;
        picture.as_str().unwrap_or_default().to_owned()
    }

    /// Returns the handles of all tabs.
    pub(super) async fn tabs(&self) -> Vec<String> {
        let handles = self.get("/window/handles").await;
        let handles = handles.as_array().into_iter().flatten();
        handles.filter_map(|handle| handle.as_str().map(ToOwned::to_owned)).collect()
    }

    /// Opens a `tab` or a `window` without switching to it.
    pub(super) async fn open_new(&self, kind: &str) -> String {
        let tab = self.post("/window/new", json!({ "type": kind })).await;
        tab.get("handle").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Closes the current tab.
    pub(super) async fn close_tab(&self) {
        let closed = self.command("DELETE", "/window", "").await;
        closed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Sends all later commands to this tab.
    pub(super) async fn switch_to(&self, tab: &str) {
        self.post("/window", json!({ "handle": tab })).await;
    }

    /// Sends a `POST` command that must succeed.
    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        self.command("POST", path, &body.to_string()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn get(&self, path: &str) -> Value {
        self.command("GET", path, "").await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn command(&self, method: &str, path: &str, body: &str) -> std::result::Result<Value, String> {
        let path = format!("/session{}{path}", self.session);
        let sending = send(self.address, method, &path, body);
        let response = match tokio::time::timeout(TIMEOUT, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(format!("{path}: no response from the driver: {error}")),
            Err(_) => return Err(format!("{path}: no response from the driver within {TIMEOUT:?}")),
        };
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("{path} failed: {response}"));
        }
        let mut body: Value =
            serde_json::from_str(body).map_err(|error| format!("{path}: {error} in {response}"))?;
        Ok(body.get_mut("value").map(Value::take).unwrap_or_default())
    }
}

/// Returns whether a WebDriver server listens at this address.
pub(super) async fn is_ready(address: SocketAddr) -> bool {
    let response = tokio::time::timeout(TIMEOUT, send(address, "GET", "/status", "")).await;
    response.is_ok_and(|response| response.is_ok_and(|response| response.contains("\"ready\"")))
}

/// Sends one request on a new connection. WebDriver on loopback needs no more HTTP than this.
async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes()).await?;
    // Drivers keep the connection open, so the end is found by the content length.
    let mut response = Vec::new();
    let length = loop {
        if let Some(length) = complete_length(&response) {
            break length;
        }
        if stream.read_buf(&mut response).await? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the connection closed early"));
        }
    };
    while response.len() < length {
        if stream.read_buf(&mut response).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Returns the length of the response with its head, once the head is complete.
fn complete_length(response: &[u8]) -> Option<usize> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(response.get(..end)?).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(end + 4 + length.unwrap_or(0))
}

//! A headless Chromium, controlled through chromedriver with the few WebDriver commands tests need.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The deadline for a command. A browser and its first page start slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The polling interval for conditions on a page. WebDriver has no events to wait for.
const POLL: Duration = Duration::from_millis(50);

/// The key of an element reference in WebDriver responses.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Returns the path of chromedriver. If there is none: `None`, or a failure where `CI` is set.
pub(crate) fn chromedriver() -> Option<OsString> {
    let chromedriver = std::env::var_os("TEST_CHROMEDRIVER");
    if chromedriver.is_none() {
        assert!(std::env::var_os("CI").is_none(), "TEST_CHROMEDRIVER must be set in CI");
        let missing = "the chat page was NOT covered in a browser: TEST_CHROMEDRIVER is unset; `tests/run --install` installs it";
        // The test harness captures `eprintln!` and hides it when the test passes.
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    chromedriver
}

/// A browser with one window and a new profile. Dropping it ends all of its processes.
pub(crate) struct Browser {
    session: String,
    driver: Driver,
    /// Declared last: it must be removed after the browser that writes to it has ended.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with this chromedriver.
    pub(crate) async fn start(chromedriver: &OsStr) -> Self {
        let driver = Driver::start(chromedriver);
        let profile =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for the browser: {error}"));
        let arguments = [
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // The sandbox does not run as root, as in a container. Tests open only trusted pages.
            "--no-sandbox",
            // Containers have little shared memory; a tab that needs more crashes.
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let mut browser = Self { session: String::new(), driver, _profile: profile };
        let started = browser.command("", capabilities).await;
        match started.pointer("/sessionId").and_then(Value::as_str) {
            Some(id) => browser.session = format!("/{id}"),
            None => panic!("chromedriver started no session: {started}"),
        }
        browser
    }

    /// Opens a page.
    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", json!({ "url": url })).await;
    }

    /// Reloads the page.
    pub(crate) async fn refresh(&self) {
        self.command("/refresh", json!({})).await;
    }

    /// Types text into the element that matches a CSS selector. A line feed presses Enter.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.command("/element", json!({ "using": "css selector", "value": selector })).await;
        let id = element
            .get(ELEMENT)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no element {selector}: {element}"));
        let keys = text.replace('\n', "\u{e007}");
        self.command(&format!("/element/{id}/value"), json!({ "text": keys })).await;
    }

    /// Evaluates a JavaScript expression.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        self.command("/execute/sync", json!({ "script": format!("return ({expression})"), "args": [] })).await
    }

    /// Polls until a JavaScript expression is true. On timeout it fails with the text of the page.
    pub(crate) async fn wait_until(&self, what: &str, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        let mut poll = tokio::time::interval(POLL);
        while self.evaluate(expression).await != Value::Bool(true) {
            if Instant::now() > deadline {
                let page = self.evaluate("document.body.innerText").await;
                panic!("timed out after {TIMEOUT:?} waiting for {what}; text of the page: {page}");
            }
            poll.tick().await;
        }
    }

    /// Returns the new warnings and errors in the console, such as failed requests and CSP
    /// violations.
    pub(crate) async fn console_messages(&self) -> Vec<Value> {
        let entries = self.command("/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let is_problem =
            |entry: &Value| matches!(entry.get("level").and_then(Value::as_str), Some("SEVERE" | "WARNING"));
        entries.into_iter().filter(is_problem).collect()
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        let path = format!("/session{}{path}", self.session);
        let body = body.to_string();
        let posting = post(self.driver.address, &path, &body);
        let response = match tokio::time::timeout(TIMEOUT, posting).await {
            Ok(response) => {
                response.unwrap_or_else(|error| panic!("{path}: no response from chromedriver: {error}"))
            }
            Err(_) => panic!("{path}: no response from chromedriver within {TIMEOUT:?}"),
        };
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        assert!(head.starts_with("HTTP/1.1 200"), "{path} failed: {response}");
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error} in {response}"));
        body.get("value").cloned().unwrap_or(Value::Null)
    }
}

/// Sends one request on a new connection. WebDriver on loopback needs no more HTTP than this.
async fn post(address: SocketAddr, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes()).await?;
    // chromedriver keeps the connection open, so the end is found by the content length.
    let mut response = Vec::new();
    loop {
        let read = stream.read_buf(&mut response).await?;
        if read == 0 || is_complete(&response) {
            return Ok(String::from_utf8_lossy(&response).into_owned());
        }
    }
}

fn is_complete(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        |line: &str| line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    head.lines()
        .find_map(length)
        .is_some_and(|length| response.len() >= head.len() + "\r\n\r\n".len() + length)
}

/// A chromedriver process.
struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Driver {
    /// Starts chromedriver on a port of its own choice, so that tests do not race for one.
    fn start(path: &OsStr) -> Self {
        let mut process = Command::new(path)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {path:?}: {error}"));
        let stdout = process.stdout.take().unwrap_or_else(|| panic!("{path:?} has no stdout pipe"));
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let rest = line.split("successfully on port ").nth(1)?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{path:?} ended before it printed its port"));
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Driver {
    /// Shuts chromedriver down over HTTP, which ends its browsers. Killing it would leave them
    /// behind.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let request = format!("GET /shutdown HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
            // An error means that the process has already ended.
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut Vec::new()));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

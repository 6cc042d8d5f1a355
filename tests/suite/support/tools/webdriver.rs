//! A headless Chromium behind chromedriver, spoken to in the few WebDriver commands that the tests need.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A browser starts slowly on a busy builder, and the first page with it; only failing tests spend all of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a page is asked for its condition; WebDriver has no event to wait for.
const POLL: Duration = Duration::from_millis(50);

/// The name under which WebDriver hands out references to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What drives the browser; `None` where there is none, which only a developer's machine may lack.
pub(crate) fn chromedriver() -> Option<OsString> {
    let chromedriver = std::env::var_os("TEST_CHROMEDRIVER");
    if chromedriver.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "TEST_CHROMEDRIVER must name a chromedriver where CI is set"
        );
        let missing = "the chat page was NOT covered in a browser: TEST_CHROMEDRIVER is unset; `tests/run` installs one";
        // Written past the harness's capture, which would hide it from a run that passes.
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    chromedriver
}

/// A browser with one window and a fresh profile; all of its processes end when it is dropped.
pub(crate) struct Browser {
    session: String,
    driver: Driver,
    /// Removed after the browser that writes to it has ended, because fields are dropped in this order.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with the chromedriver at this path.
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
            // The sandbox refuses to run as root, as in a container; the only page opened is our own.
            "--no-sandbox",
            // Containers give little shared memory, and a tab that needs more crashes.
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

    /// Loads the page again, as a person does who presses "reload".
    pub(crate) async fn refresh(&self) {
        self.command("/refresh", json!({})).await;
    }

    /// Types into the element that a CSS selector finds. A line feed is the Enter key.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.command("/element", json!({ "using": "css selector", "value": selector })).await;
        let id = element
            .get(ELEMENT)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {selector}: {element}"));
        let keys = text.replace('\n', "\u{e007}");
        self.command(&format!("/element/{id}/value"), json!({ "text": keys })).await;
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        self.command("/execute/sync", json!({ "script": format!("return ({expression})"), "args": [] })).await
    }

    /// Waits until a JavaScript expression is true, and fails with the text of the page when it never is.
    pub(crate) async fn wait_until(&self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut poll = tokio::time::interval(POLL);
        while self.evaluate(expression).await != Value::Bool(true) {
            if Instant::now() > deadline {
                let page = self.evaluate("document.body.innerText").await;
                panic!("waited {PATIENCE:?} for {what}; the page says: {page}");
            }
            poll.tick().await;
        }
    }

    /// What the console was told since it was last asked: warnings, errors, failed requests, refused content.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let entries = self.command("/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let told =
            |entry: &Value| matches!(entry.get("level").and_then(Value::as_str), Some("SEVERE" | "WARNING"));
        entries.into_iter().filter(told).collect()
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        let path = format!("/session{}{path}", self.session);
        let answer = match tokio::time::timeout(PATIENCE, post(self.driver.address, &path, &body.to_string()))
            .await
        {
            Ok(answer) => answer.unwrap_or_else(|error| panic!("{path}: chromedriver broke off: {error}")),
            Err(_) => panic!("{path}: chromedriver did not answer within {PATIENCE:?}"),
        };
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(head.starts_with("HTTP/1.1 200"), "{path} failed: {answer}");
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error} in {answer}"));
        body.get("value").cloned().unwrap_or(Value::Null)
    }
}

/// One request on a connection of its own: WebDriver on loopback needs no more of HTTP than this.
async fn post(address: SocketAddr, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes()).await?;
    // The connection stays open after the answer whatever is asked for, so its length has to be read.
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await?;
        if read == 0 || is_whole(&answer) {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        |line: &str| line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    head.lines().find_map(length).is_some_and(|length| answer.len() >= head.len() + "\r\n\r\n".len() + length)
}

/// The process that drives browsers.
struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Driver {
    /// Starts chromedriver on a port that it chooses itself, so that tests cannot race for one.
    fn start(path: &OsStr) -> Self {
        let mut process = Command::new(path)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {path:?}: {error}"));
        let stdout = process.stdout.take().unwrap_or_else(|| panic!("{path:?} was started without a pipe"));
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let rest = line.split("successfully on port ").nth(1)?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{path:?} ended before it said on which port it listens"));
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Driver {
    /// Killed alone, chromedriver would leave its browsers behind; asked to leave, it ends them first.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let request = format!("GET /shutdown HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
            // The connection ends with the process; a failure here means that it has ended already.
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut Vec::new()));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! The site of an owner: pages from another origin, with the headers a test chooses.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Journal, lock};

/// The path that browsers report violations of the Content-Security-Policy to.
const REPORTS_PATH: &str = "/csp-reports";

/// The longest head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// The longest line and the longest body of a request. Only reports have bodies.
const MAX_LENGTH: u64 = 64 * 1024;

/// A static site on its own port. Dropping it stops it.
pub(crate) struct HostSite {
    address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    files: Mutex<BTreeMap<String, File>>,
    requests: Journal<String>,
    violations: Journal<Value>,
}

#[derive(Clone)]
struct File {
    headers: String,
    content: Vec<u8>,
}

impl HostSite {
    /// Starts a site without pages on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for the site: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // Browsers close connections that they no longer need.
                tokio::spawn(async move { serve(stream, &state).await.ok() });
            }
        });
        Self { address, state, listening }
    }

    /// Publishes an HTML page with extra headers at a path. Violations of its
    /// `Content-Security-Policy` are recorded.
    pub(crate) fn page(&self, path: &str, html: &str, headers: &[(&str, &str)]) {
        let mut headers = headers.to_vec();
        let policy =
            headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("content-security-policy"));
        let reporting = policy.as_ref().map(|(_, policy)| format!("{policy}; report-uri {REPORTS_PATH}"));
        if let (Some((_, policy)), Some(reporting)) = (policy, reporting.as_ref()) {
            *policy = reporting;
        }
        headers.push(("Content-Type", "text/html; charset=utf-8"));
        self.file(path, html.as_bytes(), &headers);
    }

    /// Publishes a file with these headers at a path.
    pub(crate) fn file(&self, path: &str, content: &[u8], headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let file = File { headers, content: content.to_owned() };
        lock(&self.state.files).insert(path.to_owned(), file);
    }

    /// Returns the origin of the site.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the origin of the site under another name: it is another origin, although the pages
    /// are the same.
    pub(crate) fn localhost_origin(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Returns the paths of all requests except reports, with the query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.all()
    }

    /// Returns the reported violations of the Content-Security-Policy.
    pub(crate) fn violations(&self) -> Vec<Value> {
        self.state.violations.all()
    }

    /// Waits for the next report of a violation of the Content-Security-Policy.
    pub(crate) async fn next_violation(&self) -> Value {
        self.state.violations.next("a report of a Content-Security-Policy violation").await
    }
}

impl Drop for HostSite {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Answers one request. Each has its own connection.
async fn serve(stream: TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        if (&mut reader).take(MAX_LENGTH).read_line(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Ok(());
        }
        let line = head.get(start..).unwrap_or_default().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().unwrap_or(0).min(MAX_LENGTH);
        }
    }
    let mut body = Vec::new();
    (&mut reader).take(length).read_to_end(&mut body).await?;
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let response = if path == REPORTS_PATH {
        state.violations.push(serde_json::from_slice(&body).unwrap_or_default());
        response("204 No Content", "", b"")
    } else {
        state.requests.push(target.to_owned());
        match lock(&state.files).get(path) {
            Some(file) => response("200 OK", &file.headers, &file.content),
            // Browsers ask for it by themselves and would log an error.
            None if path == "/favicon.ico" => response("204 No Content", "", b""),
            None => response("404 Not Found", "Content-Type: text/plain\r\n", b"not found\n"),
        }
    };
    let mut stream = reader.into_inner();
    stream.write_all(&response).await?;
    stream.shutdown().await
}

fn response(status: &str, headers: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), content].concat()
}

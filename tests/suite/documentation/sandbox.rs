//! Runs the commands of the pages: a folder, the binary with an empty environment, a model server,
//! HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::markdown::root;

/// The longest wait for any single step.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// The sample resume.
pub(super) fn sample_resume() -> String {
    root().join("examples/resumes/sample.md").display().to_string()
}

/// A temporary folder in which commands run.
pub(super) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A command without any settings from the environment, and without access to the Internet.
    fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resume-chatbot"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a command until it exits; returns the lines of standard error and of standard output.
    pub(super) async fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Vec<String> {
        let output = timeout(TIMEOUT, self.command(arguments, settings).output()).await.unwrap().unwrap();
        let lines = |bytes: &[u8]| -> Vec<String> {
            String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
        };
        [lines(&output.stderr), lines(&output.stdout)].concat()
    }

    /// Starts a server and waits until it prints its address.
    pub(super) async fn serve(&self, arguments: &[&str], settings: &[(&str, &str)]) -> RunningServer {
        let ports = [("PORT", "0"), ("OPERATOR_ADDRESS", "127.0.0.1:0")];
        let mut child = self.command(arguments, &[&ports[..], settings].concat()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let announcement = next_line(&mut stdout, "the address of the server").await;
        let address = announcement.rsplit("http://").next().unwrap().parse().unwrap();
        let snippet = next_line(&mut stdout, "the line for the pages of the owner").await;
        RunningServer { _child: child, log, announcement, snippet, address }
    }
}

async fn next_line(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, what: &str) -> String {
    let line = timeout(TIMEOUT, lines.next_line()).await;
    line.unwrap_or_else(|_| panic!("timed out waiting for {what}")).unwrap().unwrap_or_default()
}

/// A server, killed when dropped.
pub(super) struct RunningServer {
    _child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// The line on standard output that contains the address.
    pub(super) announcement: String,
    /// The next line on standard output.
    pub(super) snippet: String,
    pub(super) address: SocketAddr,
}

impl RunningServer {
    /// The next line of the log.
    pub(super) async fn log_line(&mut self) -> String {
        next_line(&mut self.log, "a line of the log").await
    }

    /// Sends a `GET` request; returns the lines of the response as `curl --include` prints them,
    /// headers sorted.
    pub(super) async fn get(&self, path: &str, headers: &[String]) -> Vec<String> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{extra}\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_message(&mut stream).await;
        let mut lines = head.lines();
        let status = lines.next().unwrap().to_owned();
        let mut headers: Vec<String> = lines.map(str::to_owned).collect();
        headers.sort();
        [vec![status], headers, vec![String::new(), body]].concat()
    }
}

/// Reads the head and the body of an HTTP message.
async fn read_message(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or_default() {
                return (head.to_owned(), body.to_owned());
            }
        }
        let mut piece = [0; 4096];
        let count = timeout(TIMEOUT, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(count > 0, "the connection closed after {text:?}");
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// Starts a model server that gives the same answer to every question; returns its base URL.
pub(super) async fn model_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (request, _) = read_message(&mut stream).await;
            if request.starts_with("GET ") {
                let _ = stream.write_all(list_of_models(&request).as_bytes()).await;
                continue;
            }
            let usage = json!({"prompt_tokens": 1021, "completion_tokens": 24, "cost": 0.000_168});
            let events = [
                chunk(&json!({"content": "Mara speaks Swedish and English."}), None, &Value::Null),
                chunk(&json!({}), Some("stop"), &usage),
            ];
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                 x-generation-id: gen-1763934537\r\nconnection: close\r\n\r\n";
            let body = format!("{head}data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", events[0], events[1]);
            let _ = stream.write_all(body.as_bytes()).await;
        }
    });
    url
}

/// The response to a `GET` request: the list of models, as vLLM sends it, or 404.
fn list_of_models(request: &str) -> String {
    let model = json!({"id": "openai/gpt-4o-mini", "owned_by": "vllm", "max_model_len": 32_768});
    let (status, body) = match request.starts_with("GET /v1/models ") {
        true => ("200 OK", json!({"object": "list", "data": [model]}).to_string()),
        false => ("404 Not Found", "{}".to_owned()),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn chunk(delta: &Value, finish_reason: Option<&str>, usage: &Value) -> Value {
    json!({
        "model": "openai/gpt-4o-mini",
        "choices": [{"delta": delta, "finish_reason": finish_reason}],
        "usage": usage,
    })
}

//! Event streams through nginx: refused upgrades, buffered responses, and HTTP/2 with TLS.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::event_stream::{PATH, StreamClient, lines, one_shot, question, resume};
use crate::support::client::handshake::Handshake;
use crate::support::client::http_stream::StreamRequest;
use crate::support::tools::external_tools::{command, run_tool};
use crate::support::tools::nginx::{Nginx, Proxy};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

#[tokio::test]
async fn events_pass_a_proxy_that_refuses_upgrades_one_by_one() {
    let chat = Chat::new(&[]).await;
    let test = "a proxy that refuses upgrades";
    let Some(nginx) = Nginx::start(test, chat.server.address(), Proxy::RefusesUpgrades).await else { return };
    let refused = ChatClient::connect_to(nginx.address, &Handshake::new()).await.err();
    assert_eq!(refused.map(|rejection| rejection.status), Some(403));

    let gates = [Gate::default(), Gate::default()];
    let script = Script::from_words(&["One, ", "two, ", "three."]);
    chat.upstream.queue(script.hold_after(1, &gates[0]).hold_after(2, &gates[1]));
    let request = StreamRequest::post(PATH, &lines(&[json!({"type": "start"})]));
    let mut visitor = StreamClient::open_with(nginx.address, &request).await;
    let session = visitor.expect_session().await;
    visitor.send(&[question("Count.")]).await;
    // Each word arrives while the model holds back the next one.
    visitor.receive_text("One, ").await;
    gates[0].open();
    visitor.receive_text("two, ").await;

    // The visitor leaves, and nginx passes that on.
    let seen = visitor.last_event_id.clone();
    visitor.drop_abruptly();
    let request = StreamRequest::get(PATH).header("Last-Event-ID", &seen);
    let mut back = StreamClient::open_with(nginx.address, &request).await;
    back.send(&[resume(&session)]).await;
    assert_eq!(back.expect_session().await.frame["recovered"], true);
    gates[1].open();
    assert_eq!(back.receive_rest().await.text, "three.");
}

#[tokio::test]
async fn one_shot_requests_pass_a_proxy_that_buffers_everything() {
    let chat = Chat::new(&[]).await;
    let test = "a proxy that buffers responses";
    let Some(nginx) = Nginx::start(test, chat.server.address(), Proxy::BuffersResponses).await else {
        return;
    };
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let address = nginx.address;
    let asking = tokio::spawn(async move { one_shot(address, &[question("Count.")]).await });
    gate.wait_until_reached().await;
    // This proxy holds back what the server has sent long ago.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asking.is_finished());
    gate.open();
    let body = asking.await.unwrap();
    let (frames, last) = frames_of(&body);
    let session = frames.iter().find(|frame| frame["type"] == "session").unwrap();
    let words: Vec<&str> = frames.iter().filter_map(|frame| frame["text"].as_str()).collect();
    assert_eq!((words.concat().as_str(), &last["code"]), ("One, two.", &json!(1000)), "{body}");

    // The next question is the next request, with what the first one returned.
    let resume = json!({"type": "resume", "session_id": session["session_id"], "resume_token": session["resume_token"]});
    let (frames, last) = frames_of(&one_shot(address, &[resume, question("And then?")]).await);
    assert_eq!(last["code"], 1000);
    assert!(
        frames.iter().any(|frame| frame["type"] == "done" && frame["status"] == "complete"),
        "{frames:?}"
    );
    assert_eq!(chat.upstream.requests()[1].messages().len(), 4);
}

/// Returns the data of all events of a response, and that of the last one.
fn frames_of(body: &str) -> (Vec<Value>, Value) {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut all: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let last = all.pop().unwrap_or_default();
    (all, last)
}

/// A stream that curl reads over HTTP/2, killed when dropped.
struct CurlStream {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl CurlStream {
    fn start(url: &str, body: &str, headers: &[&str]) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-N", "-sS", "-k", "--http2", "-w", "version %{http_version}\n", "--data-binary", body]);
        headers.iter().for_each(|header| _ = curl.args(["-H", header]));
        curl.arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = curl.spawn().unwrap_or_else(|error| panic!("could not start curl: {error}"));
        let stdout = child.stdout.take().unwrap_or_else(|| panic!("curl was started without a pipe"));
        Self { lines: BufReader::new(stdout).lines(), _child: child }
    }

    /// Reads up to the first line that contains `text`.
    async fn read_until(&mut self, text: &str) -> String {
        let reading = async {
            let mut seen = Vec::new();
            while let Ok(Some(line)) = self.lines.next_line().await {
                if line.contains(text) {
                    return line;
                }
                seen.push(line);
            }
            panic!("curl ended without {text}: {seen:#?}")
        };
        within(text, reading).await
    }
}

#[tokio::test]
async fn events_pass_http_2_with_tls() {
    let chat = Chat::new(&[]).await;
    let test = "a proxy with HTTP/2";
    let Some(nginx) = Nginx::start(test, chat.server.address(), Proxy::Http2).await else { return };
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let url = format!("https://{}{PATH}", nginx.address);
    let mut stream = CurlStream::start(&url, &lines(&[json!({"type": "start"})]), &[]);
    let parse = |line: String| -> Value {
        serde_json::from_str(line.trim_start_matches("data: "))
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let connected = parse(stream.read_until("connection_id").await);
    let session = parse(stream.read_until("resume_token").await);

    let post = format!("{url}/{}", connected["connection_id"].as_str().unwrap_or_default());
    let body = lines(&[question("Count.")]);
    let arguments =
        ["-sS", "-k", "--http2", "-w", "%{http_code} over %{http_version}", "--data-binary", &body, &post];
    let posted = run_tool(command("curl", &arguments, &std::env::temp_dir()), "").await;
    assert_eq!(posted.stdout, "202 over 2", "{}", posted.stderr);

    assert!(stream.read_until("id: ").await.ends_with(":0"));
    let id = stream.read_until("id: ").await;
    assert!(id.ends_with(":1"), "{id}");
    assert!(stream.read_until("\"text\"").await.contains("One, "));
    drop(stream);
    gate.open();

    let resume = json!({"type": "resume", "session_id": session["session_id"], "resume_token": session["resume_token"]});
    let header = format!("Last-Event-ID: {}", id.trim_start_matches("id: "));
    let mut back = CurlStream::start(&format!("{url}?close=done"), &lines(&[resume]), &[&header]);
    let rest = parse(back.read_until("\"text\"").await);
    assert_eq!(rest["text"], "two.");
    back.read_until("\"type\":\"done\"").await;
    assert_eq!(parse(back.read_until("\"type\":\"close\"").await)["code"], 1000);
    assert_eq!(back.read_until("version").await, "version 2");
}

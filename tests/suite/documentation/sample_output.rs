//! Runs the commands whose output the pages show, and compares.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::markdown::{page, pages};
use super::normalize;
use super::sandbox::{RunningServer, Sandbox, TIMEOUT, model_server, sample_resume};
use crate::support::tools::external_tools::{command, python, run_tool};

/// Stands for lines that a page omits.
const ELLIPSIS: &str = "…";

/// Human-readable log lines, as on a terminal.
const HUMAN_LOG: (&str, &str) = ("LOG_FORMAT", "human");

/// A command with the output that a page shows.
struct Sample {
    page: String,
    command: String,
    output: Vec<String>,
}

/// All commands in `console` blocks.
fn samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for page in pages() {
        for line in page.code_blocks("console").into_iter().flat_map(|block| block.lines) {
            if let Some(command) = line.strip_prefix("$ ") {
                let page = page.path.display().to_string();
                samples.push(Sample { page, command: command.to_owned(), output: Vec::new() });
            } else {
                samples.last_mut().unwrap().output.push(line);
            }
        }
    }
    // Without output there is nothing to compare.
    samples.retain(|sample| !sample.output.is_empty());
    samples
}

/// The samples whose command starts like this.
fn samples_of(prefix: &str) -> Vec<Sample> {
    let samples: Vec<Sample> =
        samples().into_iter().filter(|sample| sample.command.starts_with(prefix)).collect();
    assert!(!samples.is_empty(), "no page shows the output of `{prefix}`");
    samples
}

fn sample_of(prefix: &str) -> Sample {
    samples_of(prefix).remove(0)
}

/// Whether the lines match; an ellipsis in `shown` stands for any number of lines.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == ELLIPSIS => {
            (0..=printed.len()).any(|omitted| matches(rest, &printed[omitted..]))
        }
        Some((line, rest)) => printed.first() == Some(line) && matches(rest, &printed[1..]),
    }
}

impl Sample {
    /// Compares the sample with what the command printed.
    fn check(&self, printed: &[String]) {
        let shown: Vec<String> = self.output.iter().map(|line| normalize::line(line)).collect();
        let mut normalized: Vec<String> = printed.iter().map(|line| normalize::line(line)).collect();
        while normalized.last().is_some_and(String::is_empty) {
            normalized.pop();
        }
        assert!(
            matches(&shown, &normalized),
            "{}: `{}` prints:\n\n{}\n\nthe page shows:\n\n{}",
            self.page,
            self.command,
            printed.join("\n"),
            self.output.join("\n")
        );
    }
}

/// The arguments of `resume-chatbot` in a command.
fn arguments(command: &str) -> Vec<&str> {
    command.split_whitespace().skip_while(|word| *word != "resume-chatbot").skip(1).collect()
}

#[test]
fn every_command_with_output_is_run_by_a_test() {
    let covered = [
        "resume-chatbot --help",
        "resume-chatbot demo",
        "resume-chatbot check",
        "resume-chatbot probe",
        "resume-chatbot migrate",
        "resume-chatbot conversations list",
        "resume-chatbot conversations show ",
        "resume-chatbot usage --by model",
        "OPENROUTER_API_KEY=your-key-here PORT=99999 resume-chatbot serve",
        "python3 ask.py ",
        "curl -s ",
    ];
    for Sample { page, command, .. } in samples() {
        assert!(covered.iter().any(|prefix| command.starts_with(prefix)), "{page}: `{command}` is not run");
    }
    for prefix in covered {
        assert!(samples().iter().any(|sample| sample.command.starts_with(prefix)), "`{prefix}` is not shown");
    }
}

#[test]
fn an_ellipsis_matches_any_number_of_lines() {
    let lines = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    assert!(matches(&lines("a … d"), &lines("a b c d")));
    assert!(matches(&lines("a … b"), &lines("a b")));
    assert!(!matches(&lines("a … c"), &lines("a b")));
    assert!(!matches(&lines("a"), &lines("a b")));
}

#[tokio::test]
async fn the_help_of_the_command_line_is_as_shown() {
    let sample = sample_of("resume-chatbot --help");
    sample.check(&Sandbox::new().run(&arguments(&sample.command), &[]).await);
}

#[tokio::test]
async fn demo_prints_what_is_shown() {
    let sample = sample_of("resume-chatbot demo");
    let sandbox = Sandbox::new();
    let mut server = sandbox.serve(&arguments(&sample.command), &[HUMAN_LOG]).await;
    let mut printed = Vec::new();
    while printed.len() + 2 < sample.output.len() {
        printed.push(server.log_line().await);
    }
    printed.extend([server.announcement.clone(), server.snippet.clone()]);
    sample.check(&printed);
}

#[tokio::test]
async fn check_prints_what_is_shown() {
    let sample = sample_of("resume-chatbot check");
    let resume = sample_resume();
    let settings =
        [("RESUME_PATH", resume.as_str()), ("OPENROUTER_API_KEY", "sk-or-v1-0a1b2c3d4e5f60718293abcdef")];
    sample.check(&Sandbox::new().run(&arguments(&sample.command), &settings).await);
}

#[tokio::test]
async fn probe_prints_what_is_shown() {
    let sample = sample_of("resume-chatbot probe");
    let model = model_server().await;
    let settings = [("LLM_BASE_URL", model.as_str())];
    sample.check(&Sandbox::new().run(&arguments(&sample.command), &settings).await);
}

#[tokio::test]
async fn migrate_prints_what_is_shown() {
    let sample = sample_of("resume-chatbot migrate");
    sample.check(&Sandbox::new().run(&arguments(&sample.command), &[HUMAN_LOG]).await);
}

#[tokio::test]
async fn invalid_settings_are_reported_as_shown() {
    let sample = sample_of("OPENROUTER_API_KEY=");
    let words = sample.command.split_whitespace();
    let settings: Vec<(&str, &str)> = words.map_while(|word| word.split_once('=')).collect();
    sample.check(&Sandbox::new().run(&arguments(&sample.command), &settings).await);
}

/// Asks one question after another on one connection; returns all frames that the server sends.
async fn ask(server: &RunningServer, questions: &[&str]) -> Vec<Value> {
    let (mut socket, _) = connect_async(format!("ws://{}/ws/chat", server.address)).await.unwrap();
    let mut frames: Vec<Value> = Vec::new();
    for (number, question) in (1..).zip(questions) {
        let frame = json!({"type": "question", "question": question, "id": format!("q{number}")});
        socket.send(Message::text(frame.to_string())).await.unwrap();
        let answered =
            |frames: &[Value]| frames.iter().filter(|frame| frame["type"] == "done").count() == number;
        while !answered(&frames) {
            let message = timeout(TIMEOUT, socket.next()).await.unwrap().unwrap().unwrap();
            if let Message::Text(text) = message {
                frames.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
    frames
}

const LANGUAGES: &str = "Which languages does Mara speak?";
const CERTIFICATIONS: &str = "Which certifications does Mara have?";

#[tokio::test]
async fn the_reports_of_the_owner_and_the_log_are_as_shown() {
    let sandbox = Sandbox::new();
    let (resume, model) = (sample_resume(), model_server().await);
    let settings = [("RESUME_PATH", resume.as_str()), ("LLM_BASE_URL", &model), ("LOG_FORMAT", "json")];
    let mut server = sandbox.serve(&["serve"], &settings).await;
    ask(&server, &[LANGUAGES, CERTIFICATIONS]).await;
    ask(&server, &[LANGUAGES]).await;

    let list = sandbox.run(&["conversations", "list"], &[]).await;
    let newest = list[1].split_whitespace().next().unwrap().to_owned();
    sample_of("resume-chatbot conversations list").check(&list);
    let show = sandbox.run(&["conversations", "show", &newest], &[]).await;
    sample_of("resume-chatbot conversations show ").check(&show);
    let usage = sandbox.run(&["usage", "--by", "model"], &[]).await;
    sample_of("resume-chatbot usage --by model").check(&usage);

    let blocks = page("README.md").code_blocks("json");
    let shown = blocks.iter().find(|block| block.lines[0].contains("\"turn ended\"")).unwrap();
    let logged = loop {
        let line = server.log_line().await;
        if line.contains("\"turn ended\"") {
            break line;
        }
    };
    let fields = |line: &str| -> Value { serde_json::from_str(&normalize::line(line)).unwrap() };
    assert_eq!(fields(&shown.lines[0]), fields(&logged), "README.md should show:\n{logged}");
}

#[tokio::test]
async fn http_responses_are_as_shown() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&["demo"], &[]).await;
    // The results of a server that has just started are those of a deep check.
    server.get("/health?deep=true", &[]).await;
    for mut sample in samples_of("curl -s ") {
        let (options, url) = sample.command.rsplit_once(' ').unwrap();
        let (_, path) = url.trim_matches('\'').split_once("8080").unwrap();
        let header = options.split_once("-H '").map(|(_, rest)| rest.trim_end_matches('\'').to_owned());
        let mut printed = server.get(path, header.as_slice()).await;
        if options.contains(" -i") {
            let end = sample.output.iter().position(String::is_empty).unwrap();
            sample.output[1..end].sort();
        } else {
            printed.drain(..printed.len() - 1);
        }
        sample.check(&printed);
    }

    let healthy = server.get("/health", &[]).await;
    let healthy: Value = serde_json::from_str(healthy.last().unwrap()).unwrap();
    let blocks = page("docs/api_reference.md").code_blocks("json");
    let unhealthy = blocks.iter().find(|block| block.lines[0].contains("\"unhealthy\"")).unwrap();
    let unhealthy: Value = serde_json::from_str(&unhealthy.lines[0]).unwrap();
    assert_eq!(field_names(&unhealthy), field_names(&healthy));
}

/// The names of all fields of a JSON value, in order, those of nested objects included.
fn field_names(json: &Value) -> Vec<String> {
    let Some(fields) = json.as_object() else { return Vec::new() };
    let nested = |(name, value): (&String, &Value)| {
        let inner = field_names(value).into_iter().map(|field| format!("{name}.{field}"));
        [name.clone()].into_iter().chain(inner).collect::<Vec<_>>()
    };
    fields.iter().flat_map(nested).collect()
}

#[tokio::test]
async fn the_python_client_of_the_readme_prints_what_is_shown() {
    let sample = sample_of("python3 ask.py ");
    let Some(python) = python("the Python client of the README") else { return };
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&["demo"], &[]).await;
    let blocks = page("README.md").code_blocks("python");
    let source = blocks[0].lines.join("\n");
    let url = format!("ws://{}/ws/chat", server.address);
    let question = sample.command.split('"').nth(1).unwrap();
    let command = command(python, &["-c", &source, &url, question], &sandbox.folder());
    let ran = run_tool(command, "").await;
    assert!(ran.succeeded, "{ran:?}");
    sample.check(&ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>());
}

/// The frames of a transcript: each begins with `>` or `<`, and may continue on the following
/// lines.
fn frames(lines: &[String]) -> Vec<(char, Value)> {
    let mut texts: Vec<String> = Vec::new();
    for line in lines.iter().filter(|line| *line != ELLIPSIS) {
        match texts.last_mut() {
            Some(text) if line.starts_with(' ') => text.push_str(line),
            _ => texts.push(line.clone()),
        }
    }
    let frames = texts.iter().map(|text| {
        let frame = serde_json::from_str(&text[2..]).unwrap_or_else(|error| panic!("{text}: {error}"));
        (text.chars().next().unwrap(), frame)
    });
    frames.collect()
}

#[tokio::test]
async fn the_transcript_of_the_readme_is_what_the_server_sends() {
    let blocks = page("README.md").code_blocks("text");
    let transcript =
        blocks.iter().find(|block| block.lines.iter().any(|line| line.starts_with("< "))).unwrap();
    let shown = frames(&transcript.lines);
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&["demo"], &[]).await;
    let question = shown[0].1["question"].as_str().unwrap();
    let received = ask(&server, &[question]).await;
    let normalized = |frame: &Value| {
        let mut frame = frame.clone();
        normalize::value(&mut frame);
        // Several deltas may arrive as one.
        if frame["type"] == "delta" {
            (frame["seq"], frame["text"]) = (Value::Null, Value::Null);
        }
        frame
    };
    for (_, frame) in shown.iter().filter(|(side, _)| *side == '<') {
        let same_type = received.iter().find(|other| other["type"] == frame["type"]);
        let sent = same_type.unwrap_or_else(|| panic!("the server sent no {}", frame["type"]));
        assert_eq!(normalized(frame), normalized(sent), "README.md should show:\n{sent}");
    }
}

#[test]
fn every_json_example_is_valid() {
    for page in pages() {
        for block in page.code_blocks("json") {
            for line in &block.lines {
                let parsed = serde_json::from_str::<Value>(line);
                assert!(parsed.is_ok(), "{}: {line}: {parsed:?}", page.path.display());
            }
        }
    }
}

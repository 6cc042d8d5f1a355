//! The tables of `docs/upstream.md`: every behaviour of a model server, observed through a
//! visitor's socket.
//!
//! Each behaviour is tested on two servers: one without retry and fallback, and one with the
//! default settings. The results must equal the rows on the page.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::{Chat, FAIL_FAST};
use crate::support::upstream::script::Script;

const UPSTREAM_PAGE: &str = include_str!("../../../docs/upstream.md");

const TABLE_HEAD: &str =
    "| the model server | alone, the visitor gets | by default, the visitor gets | requests | the log says |";

/// Internal details of upstream. No visitor may see them.
const INTERNALS: &str = "backend-7.internal";

const SETTINGS: [(&str, &str); 4] = [
    ("LLM_FIRST_WORD_TIMEOUT", "2s"),
    ("LLM_IDLE_TIMEOUT", "300ms"),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "600"),
    ("LLM_MAX_RETRIES", "1"),
];

/// The description of a behaviour, and its script.
type Behaviour = (&'static str, Script);

fn words() -> Script {
    Script::from_words(&["Some ", "words."])
}

fn status(status: u16) -> Script {
    Script::rejection(status, INTERNALS)
}

fn rejected(status: u16, error: Value) -> Script {
    let mut error = error;
    error["code"] = json!(status);
    Script::new().http_error(status, json!({ "error": error }), &[])
}

fn ok(kind: &str, header: (&str, &str), body: &str) -> Script {
    Script::new().text(200, &[("content-type", kind), header], body)
}

/// Returns the behaviours before the stream.
fn error_responses() -> Vec<Behaviour> {
    let flagged = json!({"message": INTERNALS, "metadata": {"reasons": ["violence"], "flagged_input": "…"}});
    let typed = |kind: &str| json!({"message": INTERNALS, "metadata": {"error_type": kind}});
    let not_retryable = json!({"message": INTERNALS, "availability": {"retryable": false}});
    let rate_limited =
        || Script::new().http_error(429, json!({"error": {"code": 429}}), &[("Retry-After", "7")]);
    vec![
        ("400", status(400)),
        (
            "400, the prompt is too long (`context_length_exceeded`)",
            rejected(400, typed("context_length_exceeded")),
        ),
        ("401", status(401)),
        ("402", status(402)),
        ("403", status(403)),
        ("403, the content is refused (`metadata.reasons`)", rejected(403, flagged)),
        ("404", status(404)),
        ("408", status(408)),
        ("412", status(412)),
        ("413", status(413)),
        ("422", status(422)),
        ("429", status(429)),
        ("429 with `Retry-After: 7`", rate_limited()),
        ("429, `free-models-per-day`", Script::rejection(429, "Rate limit exceeded: free-models-per-day")),
        ("500", status(500)),
        ("502", status(502)),
        ("502, `provider_overloaded`", rejected(502, typed("provider_overloaded"))),
        ("503", status(503)),
        ("503, `availability.retryable: false`", rejected(503, not_retryable)),
        ("504", status(504)),
        ("524", status(524)),
        ("529", status(529)),
        ("307 to another host", Script::new().text(307, &[("location", "http://127.0.0.2:9/v1")], "")),
        ("200 with a page of HTML", ok("text/html", ("x-a", "b"), "<html>Sign in</html>")),
        (
            "200 with an error instead of a stream",
            ok("application/json", ("x-a", "b"), r#"{"error":{"code":503}}"#),
        ),
        ("200, compressed", ok("text/event-stream", ("content-encoding", "gzip"), "\u{1f}…")),
        ("no reply", Script::new().hang_before_headers()),
        ("the connection closes at once", Script::new().close_before_headers()),
    ]
}

/// Returns the behaviours within the stream.
fn streams() -> Vec<Behaviour> {
    let often = Duration::from_millis(20);
    let none = || Script::new().bytes(": none\n\n");
    let endless = || format!("data: {{\"x\":\"{}", "x".repeat(1024 * 1024));
    let error = |code: Value| none().error_in_stream(code, INTERNALS);
    vec![
        ("an error before a word, `server_error`", error(json!("server_error"))),
        ("an error before a word, 429", error(json!(429))),
        ("an error before a word, \"524\"", error(json!("524"))),
        ("an error before a word, `context_length_exceeded`", error(json!("context_length_exceeded"))),
        ("an error after words", words().error_in_stream("server_error", INTERNALS)),
        ("an error after words, then `[DONE]`", words().error_in_stream(502, INTERNALS).done_after_error()),
        ("`finish_reason: error` after words", words().finish("error")),
        ("`finish_reason: content_filter` after words", words().finish("content_filter")),
        ("`finish_reason: length`", words().finish("length")),
        ("an end without a word", none().delta(json!({"content": ""}))),
        ("an end without a word or a finish", none().no_finish().no_done().no_usage().no_role()),
        ("words, no finish, `[DONE]`", words().no_finish()),
        ("words, a finish, no `[DONE]`, no usage", words().no_done().no_usage()),
        ("words, no finish, no `[DONE]`", words().no_finish().no_done().no_usage()),
        ("the connection closes after words", words().drop_connection_after(2)),
        ("silence before a word", words().hang_after(0)),
        ("comments without end, no word", words().only_comments_after(0, often)),
        ("silence after words", words().hang_after(1)),
        ("comments without end after words", words().only_comments_after(1, often)),
        ("a line of 100 MB", (0..100).fold(words(), |script, _| script.bytes(endless()))),
        ("a message that is no JSON, then words", none().not_json().words(&["Some ", "words."])),
        (
            "a message that is not UTF-8, then words",
            none().bytes(&b"data: {\"x\": \"\xff\xfe\"}\n\n"[..]).words(&["Some ", "words."]),
        ),
        ("thinking aloud, then words", none().reasoning(&["Hm.", "Ah."]).words(&["Some ", "words."])),
        ("another model than the one asked", words().model("other/model")),
    ]
}

/// Describes the result for the visitor, in the words of the page.
fn describe(answer: &Answer) -> String {
    let text = match (answer.done["mode"].as_str(), answer.text.as_str()) {
        (Some("excerpts"), _) => return "quotes".to_owned(),
        (_, "") => "",
        (_, "Some " | "Some words.") => "the words, ",
        (_, other) => panic!("unexpected words: {other:?}"),
    };
    if answer.error.is_null() {
        let model = if answer.done["model"] == "other/model" { " by `other/model`" } else { "" };
        return format!("{text}`{}`{model}", answer.status());
    }
    let retry = match (answer.error["retryable"] == true, answer.error["retry_after_ms"].as_u64()) {
        (false, _) => ", not to be retried".to_owned(),
        (true, None) => String::new(),
        (true, Some(ms)) if ms > 3_600_000 || ms % 1000 != 0 => ", tomorrow (UTC)".to_owned(),
        (true, Some(ms)) => format!(", in {} s", ms / 1000),
    };
    format!("{text}`{}`{retry}", answer.error["code"].as_str().unwrap_or_default())
}

/// Returns the logged cause of the failure, without details that differ between runs.
fn cause(logs: &[Value], answer: &Answer) -> String {
    let of_turn = logs.iter().filter(|line| line["turn_id"] == answer.done["turn_id"]);
    let causes: Vec<&str> = of_turn.filter_map(|line| line["cause"].as_str()).collect();
    assert!(causes.len() <= 1, "a cause is logged once: {causes:?}");
    let Some(cause) = causes.last() else { return "–".to_owned() };
    let cause =
        cause.split(" (http").next().unwrap_or_default().split(": error sending").next().unwrap_or_default();
    cause.split(": error decoding").next().unwrap_or_default().replace(INTERNALS, "…")
}

/// Plays each behaviour to both servers, and returns the rows of the table.
async fn play_behaviours(behaviours: Vec<Behaviour>) -> Vec<String> {
    let mut no_retry_chat = Chat::new(&[&SETTINGS[..], &FAIL_FAST].concat()).await;
    let mut default_chat = Chat::new(&[&SETTINGS[..], &[("LLM_BREAKER_FAILURES", "0")]].concat()).await;
    // A conversation that can be shortened.
    default_chat.visitor.ask_and_wait("Are you there?").await;
    let mut rows = Vec::new();
    for (behaviour, script) in behaviours {
        let question = "What was done at Northwind Rail?";
        no_retry_chat.upstream.always(script.clone());
        default_chat.upstream.always(script);
        let asked_before = default_chat.upstream.requests().len();
        let (no_retry_answer, default_answer) = tokio::join!(
            no_retry_chat.visitor.ask_and_wait(question),
            default_chat.visitor.ask_and_wait(question)
        );
        let requests = default_chat.upstream.requests().len() - asked_before;
        let ended = |entry: &Value| {
            entry["msg"] == "turn ended" && entry["turn_id"] == no_retry_answer.done["turn_id"]
        };
        no_retry_chat.server.wait_for_log("the end of the turn", ended).await;
        let cause = cause(&no_retry_chat.server.logs(), &no_retry_answer);
        let (no_retry, default) = (describe(&no_retry_answer), describe(&default_answer));
        rows.push(format!("| {behaviour} | {no_retry} | {default} | {requests} | {cause} |"));
        for visitor in [&no_retry_chat.visitor, &default_chat.visitor] {
            let frames = json!(visitor.frames()).to_string();
            assert!(!frames.contains(INTERNALS) && !frames.contains("127.0.0.2"), "{behaviour}: {frames}");
        }
    }
    let still_working = no_retry_chat.visitor.ask_and_wait("And after all that?");
    no_retry_chat.upstream.always(Script::new());
    assert_eq!(still_working.await.status(), "complete");
    rows
}

/// Returns the rows of the `number`-th table on the page.
fn documented_rows(number: usize) -> Vec<&'static str> {
    let table = UPSTREAM_PAGE
        .split(TABLE_HEAD)
        .nth(number)
        .unwrap_or_else(|| panic!("docs/upstream.md has no {TABLE_HEAD}"));
    table.lines().skip(2).take_while(|line| line.starts_with('|')).collect()
}

#[tokio::test]
async fn behaviour_before_the_stream_matches_the_page() {
    let rows = play_behaviours(error_responses()).await;
    assert_eq!(documented_rows(1), rows, "docs/upstream.md should have:\n{}", rows.join("\n"));
}

#[tokio::test]
async fn behaviour_within_the_stream_matches_the_page() {
    let rows = play_behaviours(streams()).await;
    assert_eq!(documented_rows(2), rows, "docs/upstream.md should have:\n{}", rows.join("\n"));
}

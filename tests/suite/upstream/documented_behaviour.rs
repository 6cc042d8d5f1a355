//! The table of `docs/upstream.md`: every behaviour of a model's server, played through a visitor's socket.
//!
//! Each behaviour is played twice: to a server that asks once and quotes nothing, and to one with the usual second try and
//! quotes. What happens is written as a row; the page has to have the same rows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::{AS_IT_FAILS, Chat};
use crate::support::upstream::script::Script;

const PAGE: &str = include_str!("../../../docs/upstream.md");

const HEAD: &str = "| the model's server | alone, the visitor gets | by default, the visitor gets | requests | the log says |";

/// What upstream says of itself; no visitor may ever read it.
const INTERNALS: &str = "backend-7.internal";

const TIMES: [(&str, &str); 4] = [
    ("LLM_FIRST_WORD_TIMEOUT", "700ms"),
    ("LLM_IDLE_TIMEOUT", "300ms"),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "600"),
    ("LLM_MAX_RETRIES", "1"),
];

/// A behaviour, and how it is played.
type Behaviour = (&'static str, Script);

fn words() -> Script {
    Script::of(&["Some ", "words."])
}

fn status(status: u16) -> Script {
    Script::refusal(status, INTERNALS)
}

fn refused(status: u16, error: Value) -> Script {
    let mut error = error;
    error["code"] = json!(status);
    Script::new().http_error(status, json!({ "error": error }), &[])
}

fn ok(kind: &str, header: (&str, &str), body: &str) -> Script {
    Script::new().text(200, &[("content-type", kind), header], body)
}

/// Before the stream.
fn refusals() -> Vec<Behaviour> {
    let flagged = json!({"message": INTERNALS, "metadata": {"reasons": ["violence"], "flagged_input": "…"}});
    let typed = |kind: &str| json!({"message": INTERNALS, "metadata": {"error_type": kind}});
    let hopeless = json!({"message": INTERNALS, "availability": {"retryable": false}});
    let later = || Script::new().http_error(429, json!({"error": {"code": 429}}), &[("Retry-After", "7")]);
    vec![
        ("400", status(400)),
        (
            "400, the prompt is too long (`context_length_exceeded`)",
            refused(400, typed("context_length_exceeded")),
        ),
        ("401", status(401)),
        ("402", status(402)),
        ("403", status(403)),
        ("403, the content is refused (`metadata.reasons`)", refused(403, flagged)),
        ("404", status(404)),
        ("408", status(408)),
        ("412", status(412)),
        ("413", status(413)),
        ("422", status(422)),
        ("429", status(429)),
        ("429 with `Retry-After: 7`", later()),
        ("429, `free-models-per-day`", Script::refusal(429, "Rate limit exceeded: free-models-per-day")),
        ("500", status(500)),
        ("502", status(502)),
        ("502, `provider_overloaded`", refused(502, typed("provider_overloaded"))),
        ("503", status(503)),
        ("503, `availability.retryable: false`", refused(503, hopeless)),
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

/// Within the stream.
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

/// What a visitor got, in a few words.
fn told(answer: &Answer) -> String {
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

/// The cause that the log has for the turn, without what differs from run to run.
fn cause(logs: &[Value], answer: &Answer) -> String {
    let of_turn = logs.iter().filter(|line| line["turn_id"] == answer.done["turn_id"]);
    let causes: Vec<&str> = of_turn.filter_map(|line| line["cause"].as_str()).collect();
    assert!(causes.len() <= 1, "a cause is logged once: {causes:?}");
    let Some(cause) = causes.last() else { return "–".to_owned() };
    let cause =
        cause.split(" (http").next().unwrap_or_default().split(": error sending").next().unwrap_or_default();
    cause.split(": error decoding").next().unwrap_or_default().replace(INTERNALS, "…")
}

async fn play(behaviours: Vec<Behaviour>) -> Vec<String> {
    let mut alone = Chat::with(&[&TIMES[..], &AS_IT_FAILS].concat()).await;
    let mut usual = Chat::with(&[&TIMES[..], &[("LLM_BREAKER_FAILURES", "0")]].concat()).await;
    // So that there is a conversation to be shortened.
    usual.visitor.ask_and_hear("Are you there?").await;
    let mut rows = Vec::new();
    for (behaviour, script) in behaviours {
        let question = "What was done at Northwind Rail?";
        alone.upstream.always(script.clone());
        usual.upstream.always(script);
        let asked_before = usual.upstream.requests().len();
        let (one, other) =
            tokio::join!(alone.visitor.ask_and_hear(question), usual.visitor.ask_and_hear(question));
        let requests = usual.upstream.requests().len() - asked_before;
        let ended = |entry: &Value| entry["msg"] == "turn ended" && entry["turn_id"] == one.done["turn_id"];
        alone.server.wait_for_log("the end of the turn", ended).await;
        let (one_told, cause) = (told(&one), cause(&alone.server.logs(), &one));
        rows.push(format!("| {behaviour} | {one_told} | {} | {requests} | {cause} |", told(&other)));
        for visitor in [&alone.visitor, &usual.visitor] {
            let heard = json!(visitor.heard()).to_string();
            assert!(!heard.contains(INTERNALS) && !heard.contains("127.0.0.2"), "{behaviour}: {heard}");
        }
    }
    let still_there = alone.visitor.ask_and_hear("And after all that?");
    alone.upstream.always(Script::new());
    assert_eq!(still_there.await.status(), "complete");
    rows
}

/// The rows under the `number`-th head of the page.
fn listed(number: usize) -> Vec<&'static str> {
    let table = PAGE.split(HEAD).nth(number).unwrap_or_else(|| panic!("docs/upstream.md has no {HEAD}"));
    table.lines().skip(2).take_while(|line| line.starts_with('|')).collect()
}

#[tokio::test]
async fn what_a_server_does_before_the_stream_comes_to_what_the_page_says() {
    let rows = play(refusals()).await;
    assert_eq!(listed(1), rows, "docs/upstream.md should have:\n{}", rows.join("\n"));
}

#[tokio::test]
async fn what_a_server_does_within_the_stream_comes_to_what_the_page_says() {
    let rows = play(streams()).await;
    assert_eq!(listed(2), rows, "docs/upstream.md should have:\n{}", rows.join("\n"));
}

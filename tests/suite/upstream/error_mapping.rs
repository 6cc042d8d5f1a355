//! Failures of the model server: the error code the visitor gets, and the cause in the log.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::{Chat, FAIL_FAST};
use crate::support::upstream::script::Script;

/// Internal details of upstream. No visitor may see them.
const INTERNALS: &str = "backend-7.internal: quota of org-4711";
const INTERNAL_DETAILS: [&str; 3] = ["backend-7", "org-4711", "127.0.0.1"];

const HIGH_RATE_LIMIT: (&str, &str) = ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100");

/// Starts a chat in which every failure reaches the visitor.
async fn start_chat(settings: &[(&str, &str)]) -> Chat {
    Chat::new(&[settings, &FAIL_FAST].concat()).await
}

/// Asks a question that must fail, and checks what all failures have in common.
async fn expect_failure(chat: &mut Chat, what: &str, code: &str) -> Answer {
    let answer = chat.visitor.ask_and_wait(what).await;
    assert_eq!(answer.status(), "failed", "{what}: {answer:?}");
    assert_eq!(answer.error["code"], code, "{what}");
    assert_eq!(answer.error["turn_id"], answer.done["turn_id"], "{what}");
    let frames = json!(chat.visitor.frames()).to_string();
    for detail in INTERNAL_DETAILS {
        assert!(!frames.contains(detail), "{what}: {detail} in {frames}");
    }
    let has_cause = |entry: &Value| {
        entry["turn_id"] == answer.done["turn_id"]
            && entry["request_id"] == answer.error["request_id"]
            && entry["cause"].is_string()
    };
    chat.server.wait_for_log("the cause with the request id of the visitor", has_cause).await;
    answer
}

/// Status, `Retry-After` header and error code.
const HTTP_ERRORS: [(u16, Option<&str>, &str); 15] = [
    (400, None, "API_ERROR"),
    (401, None, "API_ERROR"),
    (402, None, "BUDGET_EXCEEDED"),
    (403, None, "API_ERROR"),
    (404, None, "API_ERROR"),
    (408, None, "API_TIMEOUT"),
    (429, Some("7"), "OVERLOADED"),
    (429, None, "OVERLOADED"),
    (429, Some("Fri, 31 Dec 1999 23:59:59 GMT"), "OVERLOADED"),
    (500, None, "API_ERROR"),
    (502, None, "API_ERROR"),
    (503, Some("2"), "OVERLOADED"),
    (504, None, "API_TIMEOUT"),
    (524, None, "API_TIMEOUT"),
    (529, None, "OVERLOADED"),
];

#[tokio::test]
async fn every_http_error_has_its_code_and_retry_after() {
    let mut chat = start_chat(&[HIGH_RATE_LIMIT]).await;
    for (status, retry_after, code) in HTTP_ERRORS {
        let headers: Vec<_> = retry_after.map(|seconds| ("Retry-After", seconds)).into_iter().collect();
        let body = json!({"error": {"code": status, "message": INTERNALS, "metadata": {"raw": INTERNALS}}});
        chat.upstream.queue(Script::new().http_error(status, body, &headers));

        let answer = expect_failure(&mut chat, &format!("Status {status}?"), code).await;

        assert_eq!(answer.text, "");
        let is_permanent = matches!(status, 400 | 401 | 403 | 404);
        assert_eq!(answer.error["retryable"], !is_permanent, "{status}");
        let seconds = retry_after.and_then(|seconds| seconds.parse::<u64>().ok());
        assert_eq!(
            answer.error.get("retry_after_ms"),
            seconds.map(|seconds| json!(seconds * 1000)).as_ref(),
            "{status}"
        );
        let is_logged = |entry: &Value| {
            let cause = entry["cause"].as_str().filter(|cause| cause.contains(&status.to_string()));
            cause.is_some_and(|cause| cause.contains(INTERNALS))
        };
        chat.server.wait_for_log("the message of upstream", is_logged).await;
    }

    assert_eq!(chat.visitor.ask_and_wait("And after all that?").await.status(), "complete");
}

#[tokio::test]
async fn explanation_is_logged_without_the_words_of_the_visitor() {
    let mut chat = start_chat(&[HIGH_RATE_LIMIT]).await;
    let question = "Does Marguerite Duvalier work there?";
    let message =
        format!("Invalid value for messages[1]: '{question}'; the resume says \"led the timetable service\"");
    let body = json!({"error": {"code": "invalid_value", "param": "messages", "message": message}});
    chat.upstream.queue(Script::new().http_error(400, body, &[]));

    expect_failure(&mut chat, question, "API_ERROR").await;

    let is_refusal = |entry: &Value| entry["msg"] == "answer failed";
    let entry = chat.server.wait_for_log("the refusal", is_refusal).await;
    let cause = entry["cause"].as_str().unwrap_or_default();
    let expected = "code \"invalid_value\": param \"messages\": Invalid value for messages[1]:";
    assert!(cause.contains(expected), "{cause}");
    let logs = json!(chat.server.logs()).to_string();
    assert!(
        !logs.contains("Marguerite") && !logs.contains("Duvalier") && !logs.contains("timetable"),
        "{cause}"
    );
}

#[tokio::test]
async fn error_response_of_any_shape_is_an_error() {
    let mut chat = start_chat(&[HIGH_RATE_LIMIT]).await;
    for body in [json!(INTERNALS), json!({"error": INTERNALS}), json!({"detail": [INTERNALS]}), json!(null)] {
        chat.upstream.queue(Script::new().http_error(502, body.clone(), &[]));
        expect_failure(&mut chat, &body.to_string().replace("4711", "?"), "API_ERROR").await;
    }
}

#[tokio::test]
async fn error_event_keeps_the_text_before_it() {
    let mut chat = start_chat(&[HIGH_RATE_LIMIT]).await;
    for (error, code) in [
        (json!("server_error"), "API_ERROR"),
        (json!(502), "API_ERROR"),
        (json!(429), "OVERLOADED"),
        (json!("524"), "API_TIMEOUT"),
    ] {
        let script = Script::from_words(&["Some ", "words "]).error_in_stream(error.clone(), INTERNALS);
        chat.upstream.queue(script.clone()).queue(script.done_after_error());
        for end in ["without [DONE]", "with [DONE]"] {
            let answer = expect_failure(&mut chat, &format!("{error} {end}"), code).await;
            assert_eq!(answer.text, "Some words ", "{error} {end}");
        }
    }

    chat.visitor.send(json!({"type": "history", "limit": 1})).await;
    let history = chat.visitor.expect_frame("history").await;

    assert_eq!(history["messages"][1]["content"], "Some words ");
    assert_eq!(history["messages"][1]["status"], "failed");
}

#[tokio::test]
async fn error_event_of_any_shape_is_an_error() {
    let mut chat = start_chat(&[HIGH_RATE_LIMIT]).await;
    for error in [json!({"error": INTERNALS}), json!({"error": {"message": INTERNALS, "code": null}})] {
        chat.upstream
            .queue(Script::from_words(&["Some "]).bytes(format!("data: {error}\n\n")).no_finish().no_usage());
        let answer = expect_failure(&mut chat, "Is it an error?", "API_ERROR").await;
        assert_eq!(answer.text, "Some ");
    }
}

#[tokio::test]
async fn connection_loss_within_an_answer_fails_the_turn() {
    let mut chat = start_chat(&[]).await;
    chat.upstream.queue(Script::from_words(&["Some ", "words."]).drop_connection_after(1));
    assert_eq!(expect_failure(&mut chat, "Is it dropped?", "API_ERROR").await.text, "Some ");

    chat.upstream.queue(Script::from_words(&["Some ", "words."]).reset_after(1));
    // A reset may arrive before the text.
    let text = expect_failure(&mut chat, "Is it reset?", "API_ERROR").await.text;
    assert!("Some ".starts_with(&text), "{text:?}");

    chat.upstream.queue(Script::from_words(&["Some "]).drop_connection_after(0));
    assert_eq!(expect_failure(&mut chat, "Is it dropped before a word?", "API_ERROR").await.text, "");
}

#[tokio::test]
async fn silent_upstream_times_out() {
    let mut chat = start_chat(&[("LLM_FIRST_WORD_TIMEOUT", "300ms"), ("LLM_IDLE_TIMEOUT", "300ms")]).await;
    let often = Duration::from_millis(20);
    let two = || Script::from_words(&["Some ", "words."]);

    for (what, script, words) in [
        ("nothing", two().hang_before_headers(), ""),
        ("headers alone", two().hang_after(0), ""),
        ("a word", two().hang_after(1), "Some "),
        ("comments alone", two().only_comments_after(0, often), ""),
        ("a word and comments", two().only_comments_after(1, often), "Some "),
    ] {
        chat.upstream.queue(script);
        let answer = expect_failure(&mut chat, what, "API_TIMEOUT").await;
        assert_eq!(answer.text, words, "{what}");
        chat.upstream.wait_for_abort().await;
    }

    let slow = Script::with_numbered_words(8).every(Duration::from_millis(100));
    chat.upstream.queue(slow);

    let answer = chat.visitor.ask_and_wait("Longer than either, but never silent?").await;
    assert_eq!(answer.status(), "complete", "the total duration must not be limited: {answer:?}");
}

#[tokio::test]
async fn unreachable_upstream_fails_the_turn_and_is_used_again_later() {
    let mut chat = start_chat(&[]).await;
    chat.upstream.stop().await;
    expect_failure(&mut chat, "Is anybody there?", "API_ERROR").await;

    chat.upstream.restart().await;
    assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");
}

#[tokio::test]
async fn empty_answer_is_a_failure() {
    let mut chat = start_chat(&[]).await;
    let empty = || Script::new().delta(json!({"content": ""}));
    chat.upstream.queue(empty()).queue(empty().no_finish().no_done().no_usage().no_role());

    for what in ["Finished without a word?", "Ended without anything?"] {
        assert_eq!(expect_failure(&mut chat, what, "API_ERROR").await.text, "");
    }
}

#[tokio::test]
async fn content_filter_fails_the_turn() {
    let mut chat = start_chat(&[]).await;
    chat.upstream.queue(Script::from_words(&["Some "]).finish("content_filter"));

    let answer = expect_failure(&mut chat, "Is it filtered?", "CONTENT_REJECTED").await;
    assert_eq!(answer.error["retryable"], false);
}

#[tokio::test]
async fn answer_at_the_length_limit_has_status_length() {
    let mut chat = start_chat(&[]).await;
    chat.upstream.queue(Script::from_words(&["Some ", "words"]).finish("length"));

    let answer = chat.visitor.ask_and_wait("Is it long?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("Some words", "length"));
    assert!(answer.error.is_null(), "{}", answer.error);
}

#[tokio::test]
async fn overlong_stream_line_fails_the_turn_with_bounded_memory() {
    let mut chat = start_chat(&[]).await;

    // The first answer loads the tokenizer vocabulary, which is most of the memory.
    chat.visitor.ask_and_wait("Are you there?").await;
    let before = chat.server.resident_kib();
    let line = format!("data: {{\"x\":\"{}", "x".repeat(1024 * 1024));
    chat.upstream.queue((0..32).fold(Script::from_words(&["Some "]), |script, _| script.bytes(line.clone())));

    assert_eq!(expect_failure(&mut chat, "Is it endless?", "API_ERROR").await.text, "Some ");

    let grown = chat.server.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
    assert_eq!(chat.visitor.ask_and_wait("And after that?").await.status(), "complete");
}

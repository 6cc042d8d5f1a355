//! Every way in which the model's server fails: one error for the visitor, the cause for the operator.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::Answer;
use crate::support::client::chat::{AS_IT_FAILS, Chat};
use crate::support::upstream::script::Script;

/// What upstream says of itself; no visitor may ever read it, nor where upstream is.
const INTERNALS: &str = "backend-7.internal: quota of org-4711";
const TELL_TALE: [&str; 3] = ["backend-7", "org-4711", "127.0.0.1"];

const MANY: (&str, &str) = ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100");

/// A chat in which the visitor is told of every failure.
async fn chat(settings: &[(&str, &str)]) -> Chat {
    Chat::with(&[settings, &AS_IT_FAILS].concat()).await
}

/// Asks, and holds the failure against what every failure has in common; the order of the frames is the contract's.
async fn failed(chat: &mut Chat, what: &str, code: &str) -> Answer {
    let answer = chat.visitor.ask_and_hear(what).await;
    assert_eq!(answer.status(), "failed", "{what}: {answer:?}");
    assert_eq!(answer.error["code"], code, "{what}");
    assert_eq!(answer.error["turn_id"], answer.done["turn_id"], "{what}");
    let heard = json!(chat.visitor.heard()).to_string();
    for told in TELL_TALE {
        assert!(!heard.contains(told), "{what}: {told} in {heard}");
    }
    let explained = |entry: &Value| {
        entry["turn_id"] == answer.done["turn_id"]
            && entry["request_id"] == answer.error["request_id"]
            && entry["cause"].is_string()
    };
    chat.server.wait_for_log("the cause under the visitor's request id", explained).await;
    answer
}

#[tokio::test]
async fn every_refusal_has_its_code_and_says_when_to_try_again() {
    let mut chat = chat(&[MANY]).await;
    for (status, retry_after, code) in [
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
    ] {
        let headers: Vec<_> = retry_after.map(|seconds| ("Retry-After", seconds)).into_iter().collect();
        let body = json!({"error": {"code": status, "message": INTERNALS, "metadata": {"raw": INTERNALS}}});
        chat.upstream.queue(Script::new().http_error(status, body, &headers));
        let answer = failed(&mut chat, &format!("Status {status}?"), code).await;
        assert_eq!(answer.text, "");
        let hopeless = matches!(status, 400 | 401 | 403 | 404);
        assert_eq!(answer.error["retryable"], !hopeless, "{status}");
        let seconds = retry_after.and_then(|seconds| seconds.parse::<u64>().ok());
        assert_eq!(
            answer.error.get("retry_after_ms"),
            seconds.map(|it| json!(it * 1000)).as_ref(),
            "{status}"
        );
        // What is said of a malformed request may quote it, and the log holds no word of a visitor.
        let may_quote = matches!(status, 400 | 422);
        let told = |entry: &Value| {
            let cause = entry["cause"].as_str().filter(|cause| cause.contains(&status.to_string()));
            cause.is_some_and(|cause| cause.contains(INTERNALS) != may_quote)
        };
        chat.server.wait_for_log("what upstream said, or that it may quote", told).await;
    }
    assert_eq!(chat.visitor.ask_and_hear("And after all that?").await.status(), "complete");
}

#[tokio::test]
async fn a_refusal_that_is_not_json_is_a_refusal_all_the_same() {
    let mut chat = chat(&[MANY]).await;
    for body in [json!(INTERNALS), json!({"error": INTERNALS}), json!({"detail": [INTERNALS]}), json!(null)] {
        chat.upstream.queue(Script::new().http_error(502, body.clone(), &[]));
        failed(&mut chat, &body.to_string().replace("4711", "?"), "API_ERROR").await;
    }
}

#[tokio::test]
async fn an_error_within_the_stream_keeps_the_words_before_it() {
    let mut chat = chat(&[MANY]).await;
    for (error, code) in [
        (json!("server_error"), "API_ERROR"),
        (json!(502), "API_ERROR"),
        (json!(429), "OVERLOADED"),
        (json!("524"), "API_TIMEOUT"),
    ] {
        let script = Script::of(&["Some ", "words "]).error_in_stream(error.clone(), INTERNALS);
        chat.upstream.queue(script.clone()).queue(script.done_after_error());
        for end in ["without [DONE]", "with [DONE]"] {
            let answer = failed(&mut chat, &format!("{error} {end}"), code).await;
            assert_eq!(answer.text, "Some words ", "{error} {end}");
        }
    }
    chat.visitor.say(json!({"type": "history", "limit": 1})).await;
    let history = chat.visitor.hear_type("history").await;
    assert_eq!(history["messages"][1]["content"], "Some words ");
    assert_eq!(history["messages"][1]["status"], "failed");
}

#[tokio::test]
async fn an_error_within_the_stream_is_one_in_whatever_shape_it_comes() {
    let mut chat = chat(&[MANY]).await;
    for error in [json!({"error": INTERNALS}), json!({"error": {"message": INTERNALS, "code": null}})] {
        chat.upstream
            .queue(Script::of(&["Some "]).bytes(format!("data: {error}\n\n")).no_finish().no_usage());
        let answer = failed(&mut chat, "Is it an error?", "API_ERROR").await;
        assert_eq!(answer.text, "Some ");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_within_an_answer_fails_it() {
    let mut chat = chat(&[]).await;
    chat.upstream.queue(Script::of(&["Some ", "words."]).drop_connection_after(1));
    assert_eq!(failed(&mut chat, "Is it dropped?", "API_ERROR").await.text, "Some ");
    chat.upstream.queue(Script::of(&["Some ", "words."]).reset_after(1));
    // A reset may overtake the words before it.
    let text = failed(&mut chat, "Is it reset?", "API_ERROR").await.text;
    assert!("Some ".starts_with(&text), "{text:?}");
    chat.upstream.queue(Script::of(&["Some "]).drop_connection_after(0));
    assert_eq!(failed(&mut chat, "Is it dropped before a word?", "API_ERROR").await.text, "");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_in_time() {
    let mut chat = chat(&[("LLM_FIRST_WORD_TIMEOUT", "300ms"), ("LLM_IDLE_TIMEOUT", "300ms")]).await;
    let often = Duration::from_millis(20);
    let two = || Script::of(&["Some ", "words."]);
    for (what, script, words) in [
        ("nothing", two().hang_before_headers(), ""),
        ("headers alone", two().hang_after(0), ""),
        ("a word", two().hang_after(1), "Some "),
        ("comments alone", two().only_comments_after(0, often), ""),
        ("a word and comments", two().only_comments_after(1, often), "Some "),
    ] {
        chat.upstream.queue(script);
        let answer = failed(&mut chat, what, "API_TIMEOUT").await;
        assert_eq!(answer.text, words, "{what}");
        chat.upstream.wait_for_abort().await;
    }
    let slow = Script::of_many(8).every(Duration::from_millis(100));
    chat.upstream.queue(slow);
    let answer = chat.visitor.ask_and_hear("Longer than either, but never silent?").await;
    assert_eq!(answer.status(), "complete", "there is no limit on the whole: {answer:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_fails_the_answer_and_is_asked_again_when_it_is_back() {
    let mut chat = chat(&[]).await;
    chat.upstream.stop().await;
    failed(&mut chat, "Is anybody there?", "API_ERROR").await;
    chat.upstream.start_again().await;
    assert_eq!(chat.visitor.ask_and_hear("And now?").await.status(), "complete");
}

#[tokio::test]
async fn an_answer_without_a_word_is_a_failure() {
    let mut chat = chat(&[]).await;
    let empty = || Script::new().delta(json!({"content": ""}));
    chat.upstream.queue(empty()).queue(empty().no_finish().no_done().no_usage().no_role());
    for what in ["Finished without a word?", "Ended without anything?"] {
        assert_eq!(failed(&mut chat, what, "API_ERROR").await.text, "");
    }
}

#[tokio::test]
async fn a_filtered_answer_is_rejected_for_its_content() {
    let mut chat = chat(&[]).await;
    chat.upstream.queue(Script::of(&["Some "]).finish("content_filter"));
    let answer = failed(&mut chat, "Is it filtered?", "CONTENT_REJECTED").await;
    assert_eq!(answer.error["retryable"], false);
}

#[tokio::test]
async fn an_answer_at_its_limit_is_no_failure_but_is_said_to_be_cut() {
    let mut chat = chat(&[]).await;
    chat.upstream.queue(Script::of(&["Some ", "words"]).finish("length"));
    let answer = chat.visitor.ask_and_hear("Is it long?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("Some words", "length"));
    assert!(answer.error.is_null(), "{}", answer.error);
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_not_taken_in() {
    let mut chat = chat(&[]).await;
    // With the first answer the vocabulary is there, which is most of the server's memory.
    chat.visitor.ask_and_hear("Are you there?").await;
    let before = chat.server.resident_kib();
    let line = format!("data: {{\"x\":\"{}", "x".repeat(1024 * 1024));
    chat.upstream.queue((0..32).fold(Script::of(&["Some "]), |script, _| script.bytes(line.clone())));
    assert_eq!(failed(&mut chat, "Is it endless?", "API_ERROR").await.text, "Some ");
    let grown = chat.server.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
    assert_eq!(chat.visitor.ask_and_hear("And after that?").await.status(), "complete");
}

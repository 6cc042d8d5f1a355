//! The usage of all requests for an answer: reported by the model server, also with a failure, or
//! counted by this server.

use resume_chatbot::settings::Tokenizer;
use resume_chatbot::tokens::TokenCounter;
use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, FAIL_FAST, receive_text};
use crate::support::server::cli;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::upstream::script::Script;

const USED_TOKENS: &str = "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM daily_budgets";
const ESTIMATED_TURNS: &str = "SELECT count(*) FROM turns WHERE estimated_requests > 0";
const ONE_RETRY: [(&str, &str); 2] = [("LLM_MAX_RETRIES", "1"), ("DEGRADED_MODE", "off")];

/// Appends an event with this usage to a script.
fn told(script: Script, usage: &Value) -> Script {
    script.bytes(format!("data: {}\n\n", json!({"choices": [], "usage": usage})))
}

/// A response that tells its usage and then breaks off after a word.
fn broken_after_its_usage(prompt: u32, completion: u32) -> Script {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion});
    told(Script::new(), &usage).words(&["Half "]).drop_connection_after(1)
}

fn count_tokens(text: &str) -> u32 {
    TokenCounter::new(Tokenizer::Cl100kBase).count(text)
}

fn tokens_of(done: &Value) -> i64 {
    ["prompt_tokens", "completion_tokens"].iter().filter_map(|kind| done["usage"][*kind].as_i64()).sum()
}

on_both_stores! {
    async fn usage_told_by_a_failed_request_counts_beside_that_of_its_retry(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_RETRY).await;
        chat.upstream.queue(broken_after_its_usage(300, 50));
        chat.upstream.queue(Script::from_words(&["All ", "of it."]).usage(40, 2, None));

        let done = chat.visitor.ask_and_wait("Is it whole?").await.done;
        assert_eq!(done["usage"], json!({"prompt_tokens": 340, "completion_tokens": 52}), "{done}");
        assert_eq!(done.get("usage_estimated"), None, "{done}");

        assert_eq!(store.query_number(USED_TOKENS).await, 392);
        assert_eq!(store.query_number("SELECT prompt_tokens + completion_tokens FROM turns").await, 392);
        assert_eq!(store.query_number(ESTIMATED_TURNS).await, 0);

        let scrape = Scrape::fetch(&chat.server).await;
        assert_eq!(scrape.value("budget_used_tokens"), 392.0);
        assert_eq!(scrape.value("answer_tokens_total{kind=\"prompt\"}"), 340.0);
        assert_eq!(scrape.value("answer_usage_estimated_total"), 0.0);
    }

    async fn untold_usage_is_estimated_in_done_the_store_and_every_report(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &FAIL_FAST).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::plain_server(&["She ", "builds."]));
        chat.visitor.ask_with_id("q1", "What does she do?").await;
        let answer = chat.visitor.receive_answer().await;
        assert_eq!(answer.done["usage_estimated"], true, "{}", answer.done);
        chat.upstream.queue(Script::from_words(&["Yes."]).usage(100, 1, None));
        let other = chat.visitor.ask_and_wait("Is it told?").await.done;
        assert_eq!(other.get("usage_estimated"), None, "{other}");

        let used = tokens_of(&answer.done) + 101;
        assert_eq!(store.query_number(USED_TOKENS).await, used);
        assert_eq!(store.query_number(ESTIMATED_TURNS).await, 1);
        let scrape = Scrape::fetch(&chat.server).await;
        assert_eq!(scrape.value("answer_usage_estimated_total"), 1.0);

        // A repeated question gets the stored end of its answer.
        chat.kill_and_restart().await;
        chat.visitor.resume(&session, Value::Null).await;
        chat.visitor.ask_with_id("q1", "What does she do?").await;
        let repeated = chat.visitor.receive_answer().await.done;
        assert_eq!((&repeated["usage"], &repeated["usage_estimated"]), (&answer.done["usage"], &json!(true)));

        let export = cli::run_ok(&store, &["conversations", "export", "--format", "jsonl"]).await;
        let conversation: Value = serde_json::from_str(&export).unwrap();
        let estimated: Vec<&Value> =
            conversation["turns"].as_array().unwrap().iter().map(|turn| &turn["usage_estimated"]).collect();
        assert_eq!(estimated, [true, false]);

        let page = cli::run_ok(&store, &["conversations", "show", &session.session_id]).await;
        assert_eq!(page.matches("tokens (estimated), ").count(), 1, "{page}");
        let usage = cli::run_ok(&store, &["usage", "--json"]).await;
        let usage: Value = serde_json::from_str(&usage).unwrap();
        assert_eq!((&usage["total"]["questions"], &usage["total"]["estimated"]), (&json!(2), &json!(1)));
    }

    async fn what_failed_requests_used_is_the_usage_of_the_excerpts_that_replace_them(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("LLM_MAX_RETRIES", "1")]).await;
        let failing = |prompt| {
            let usage = json!({"prompt_tokens": prompt, "completion_tokens": 10});
            told(Script::new(), &usage).error_in_stream("server_error", "no")
        };
        chat.upstream.queue(failing(500)).queue(failing(200));

        let done = chat.visitor.ask_and_wait("What was done at Northwind Rail?").await.done;
        assert_eq!((&done["mode"], &done["status"]), (&json!("excerpts"), &json!("complete")), "{done}");
        assert_eq!(done["usage"], json!({"prompt_tokens": 700, "completion_tokens": 20}), "{done}");
        assert_eq!((store.query_number(USED_TOKENS).await, store.query_number(ESTIMATED_TURNS).await), (720, 0));
    }

    async fn text_of_a_failed_attempt_is_counted_once(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &ONE_RETRY).await;
        chat.upstream.queue(Script::from_words(&["Half ", "an "]).drop_connection_after(2));
        chat.upstream.queue(Script::rejection(500, "no"));

        let answer = chat.visitor.ask_and_wait("Is it whole?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Half an ", "failed"));
        assert_eq!(chat.upstream.requests().len(), 2);
        // Only the first request generated anything, so the prompt counts once.
        let first = store.query_number("SELECT estimated_requests FROM turns").await;
        assert_eq!((first, store.query_number(USED_TOKENS).await), (1, tokens_of(&answer.done)));
        assert_eq!(answer.done["usage"]["completion_tokens"], count_tokens("Half an "), "{}", answer.done);
    }
}

#[tokio::test]
async fn parts_of_a_usage_that_are_missing_or_zero_are_counted() {
    let mut chat = Chat::new(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "100")]).await;
    // What the server tells; the prompt and the completion as they are told, if so.
    let cases = [
        (json!({"prompt_tokens": 77, "completion_tokens": 9}), Some(77), Some(9)),
        (json!({"prompt_tokens": 0, "completion_tokens": 0}), None, None),
        (json!({"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}), None, None),
        (json!({"prompt_tokens": 77}), Some(77), None),
        (json!({"completion_tokens": 9}), None, Some(9)),
        (json!({"total_tokens": 9}), None, None),
    ];
    for (usage, prompt, completion) in cases {
        chat.upstream.queue(told(Script::from_words(&["She ", "builds."]).no_usage(), &usage));
        let done = chat.visitor.ask_and_wait("What?").await.done;
        let is_whole = prompt.is_some() && completion.is_some();
        assert_eq!(done.get("usage_estimated").is_none(), is_whole, "{usage}: {done}");
        assert_eq!(
            done["usage"]["completion_tokens"],
            completion.unwrap_or_else(|| count_tokens("She builds.")),
            "{usage}: {done}"
        );
        let counted = done["usage"]["prompt_tokens"].as_u64().unwrap();
        match prompt {
            Some(prompt) => assert_eq!(counted, prompt, "{usage}"),
            None => assert!(counted > 100, "{usage}: {done}"),
        }
        assert_eq!(done["usage"].get("cost"), None, "{usage}: {done}");
    }
}

#[tokio::test]
async fn failures_that_tell_their_usage_reach_the_daily_limit() {
    let mut settings = FAIL_FAST.to_vec();
    settings.extend([("MAX_CONTEXT_TOKENS", "2000"), ("MAX_RESPONSE_TOKENS", "1200")]);
    settings.push(("DAILY_TOKEN_LIMIT", "5000"));
    let mut chat = Chat::new(&settings).await;
    for used in [2000.0, 4000.0] {
        chat.upstream.queue(broken_after_its_usage(1500, 500));
        assert_eq!(chat.visitor.ask_and_wait("Is it whole?").await.status(), "failed");
        assert_eq!(Scrape::fetch(&chat.server).await.value("budget_used_tokens"), used);
    }
    chat.visitor.ask("And now?").await;
    chat.visitor.expect_error("BUDGET_EXCEEDED").await;
    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn refused_request_uses_nothing() {
    let mut chat = Chat::new(&FAIL_FAST).await;
    for script in [Script::rejection(500, "no"), Script::new().close_before_headers()] {
        chat.upstream.queue(script);
        let done = chat.visitor.ask_and_wait("Is it free?").await.done;
        assert_eq!(done["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0}), "{done}");
        assert_eq!(done.get("usage_estimated"), None, "{done}");
    }
    assert_eq!(Scrape::fetch(&chat.server).await.value("budget_used_tokens"), 0.0);
}

#[tokio::test]
async fn thinking_of_a_cancelled_answer_is_counted() {
    let mut chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::new().reasoning(&[&"x".repeat(801)]).hang_after(1));

    chat.visitor.ask("Do you think?").await;
    chat.visitor.receive_until("thinking").await;
    chat.visitor.send(json!({"type": "cancel"})).await;
    let done = chat.visitor.receive_until("done").await.pop().unwrap();

    assert_eq!((&done["status"], &done["usage_estimated"]), (&json!("cancelled"), &json!(true)), "{done}");
    assert_eq!(done["usage"]["completion_tokens"], 201, "{done}");
    let used = Scrape::fetch(&chat.server).await.value("budget_used_tokens");
    assert_eq!(Some(used), Some(tokens_of(&done)).map(|tokens| f64::from(i32::try_from(tokens).unwrap())));
}

#[tokio::test]
async fn answer_cancelled_between_two_attempts_counts_only_the_first() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "2"), ("DEGRADED_MODE", "off")]).await;
    let busy = json!({"error": {"code": 503, "message": "busy"}});
    chat.upstream.queue(Script::from_words(&["Half ", "an "]).drop_connection_after(2));
    chat.upstream.queue(Script::new().http_error(503, busy, &[("retry-after", "10")]));

    chat.visitor.ask("Is it whole?").await;
    receive_text(&mut chat.visitor, "Half an ").await;
    let is_second_retry = |line: &Value| {
        line["msg"] == "retrying upstream request"
            && line["cause"].as_str().is_some_and(|cause| cause.contains("503"))
    };
    chat.server.wait_for_log("the second retry", is_second_retry).await;
    chat.visitor.send(json!({"type": "cancel"})).await;
    let done = chat.visitor.receive_until("done").await.pop().unwrap();

    assert_eq!(chat.upstream.requests().len(), 2);
    assert_eq!(done["usage"]["completion_tokens"], count_tokens("Half an "), "{done}");
    assert!(done["usage"]["prompt_tokens"].as_i64().unwrap() > 100, "{done}");
}

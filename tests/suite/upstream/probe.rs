//! `probe`: one question to the model server, and a report about the answer.

use serde_json::{Value, json};

use crate::support::server::process::{Output, run_command};
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

async fn probe(arguments: &[&str], upstream: &FakeOpenRouter, settings: &[(&str, &str)]) -> Output {
    let base_url = upstream.base_url();
    let own = [("LLM_BASE_URL", base_url.as_str()), ("LLM_MODEL", "test/model")];
    run_command(&[&["probe"], arguments].concat(), &[&own[..], settings].concat()).await
}

#[tokio::test]
async fn report_describes_the_server_and_its_answer() {
    let upstream = FakeOpenRouter::start().await;
    let list = json!({"data": [{"id": "test/model", "owned_by": "vllm", "max_model_len": 4096}]});
    upstream.serve_document("/api/v1/models", 200, list);
    let answer = || Script::from_words(&["I ", "am ", "ready."]).usage(31, 5, 0.000_012);
    upstream.queue(answer()).queue(answer());

    let output = probe(&[], &upstream, &[]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for line in [
        "server       vLLM",
        "model        test/model (found)",
        "context      4096 tokens (MAX_CONTEXT_TOKENS is 8000)",
        "answer       complete, 11 characters",
        "streaming    yes, 3 pieces",
        "usage        31 + 5 tokens, $0.000012, reported by the server",
        "thinking     none",
        "dialect      the common one",
        "odd fields   none",
        "warning: MAX_CONTEXT_TOKENS is 8000, but the context window of the model has 4096 tokens",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }

    let output = probe(&["--json"], &upstream, &[]).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["can_answer"], &report["context_tokens"]), (&json!(true), &json!(4096)));
    assert_eq!(
        (&report["answer"]["prompt_tokens"], &report["answer"]["streamed"]),
        (&json!(31), &json!(true))
    );
    assert!(report["total_ms"].is_u64() && report["error"].is_null(), "{report}");

    let requests = upstream.requests();
    assert_eq!(requests.len(), 2, "one question each");
    assert!(requests[0].body["max_tokens"].as_u64().unwrap() <= 1_000);
}

#[tokio::test]
async fn unreported_usage_is_counted_and_a_silent_server_is_unknown() {
    let upstream = FakeOpenRouter::start().await;
    upstream.queue(Script::plain_server(&["Ready."]));

    let output = probe(&[], &upstream, &[]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for text in ["counted here", "OpenAI-compatible", "context      unknown", "prices       unknown"] {
        assert!(output.stdout.contains(text), "{text}: {}", output.stdout);
    }
}

#[tokio::test]
async fn failures_name_their_kind_and_what_to_do() {
    let upstream = FakeOpenRouter::start().await;
    for (status, code, kind) in
        [(401, 78, "invalid_key"), (404, 78, "unknown_model"), (429, 1, "rate_limited")]
    {
        upstream.queue(Script::rejection(status, "no"));
        let output = probe(&[], &upstream, &[("OPENROUTER_API_KEY", "sk-secret-key")]).await;
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.stdout.contains(kind) && output.stdout.contains("solution"), "{output:?}");
        assert!(!format!("{output:?}").contains("sk-secret-key"), "{output:?}");
    }
    assert_eq!(upstream.requests().len(), 3, "no retries");

    let unreachable = [("LLM_BASE_URL", "http://127.0.0.1:9/v1"), ("LLM_MODEL", "x")];
    let output = run_command(&["probe", "--json"], &unreachable).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.code, &report["error"]["kind"]), (Some(1), &json!("unreachable")));

    let output = run_command(&["probe"], &[("LLM_BASE_URL", "ftp://x")]).await;
    assert_eq!(output.code, Some(78), "{output:?}");
    assert!(output.stderr.contains("LLM_BASE_URL"), "{output:?}");
}

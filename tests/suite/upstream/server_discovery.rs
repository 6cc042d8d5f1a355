//! The server asks the model server what it is: whether it has the model, which context window,
//! which prices. The answers bound the prompts and are part of the health report.

use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_command;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

const LIST: &str = "/api/v1/models";

/// Starts a server behind which a model server offers these documents.
async fn chat_with(documents: &[(&str, Value)], settings: &[(&str, &str)]) -> Chat {
    let upstream = FakeOpenRouter::start().await;
    for (path, document) in documents {
        upstream.serve_document(path, 200, document.clone());
    }
    let config = ServerConfig::command(&["serve"])
        .with("OPENROUTER_API_KEY", "sk-or-test-key")
        .with("LLM_BASE_URL", upstream.base_url())
        .with("LLM_MODEL", "test/model");
    Chat::from_config(config, upstream, settings).await
}

/// Waits until the model server has been asked, and returns the log line about it.
async fn wait_for_report(chat: &Chat) -> Value {
    let is_report = |line: &Value| {
        ["model server described itself", "model server does not list its models"]
            .iter()
            .any(|message| line["msg"] == *message)
    };
    chat.server.wait_for_log("the report about the model server", is_report).await
}

/// Returns the status and the detail of the `llm` check.
async fn llm_check(chat: &Chat) -> (String, String) {
    let report = get(&chat.server, "/health?deep=true").await.json();
    let check = &report["checks"]["llm"];
    (check["status"].as_str().unwrap().to_owned(), check["detail"].as_str().unwrap().to_owned())
}

fn vllm(name: &str, window: u32) -> Value {
    let model =
        json!({"id": name, "object": "model", "owned_by": "vllm", "root": name, "max_model_len": window});
    json!({"object": "list", "data": [model]})
}

#[tokio::test]
async fn window_of_the_model_bounds_prompts_and_answers() {
    let mut chat = chat_with(&[(LIST, vllm("test/model", 1_200))], &[]).await;
    wait_for_report(&chat).await;
    let is_warning = |line: &Value| line["msg"] == "prompts are limited to the context window of the model";
    let warning = chat.server.wait_for_log("the warning about the window", is_warning).await;
    assert_eq!((&warning["configured_tokens"], &warning["window_tokens"]), (&json!(8000), &json!(1200)));

    let session = chat.visitor.start().await;
    assert_eq!(session.frame["limits"]["max_context_tokens"], 1200);
    chat.visitor.ask_and_wait("What does she do?").await;
    let request = chat.upstream.next_request().await;
    let max_tokens = request.body["max_tokens"].as_u64().unwrap();
    assert!((256..1200).contains(&max_tokens), "{max_tokens}");

    chat.visitor.ask(&"xq7z ".repeat(390)).await;
    assert_eq!(chat.visitor.expect_frame("error").await["code"], "MESSAGE_TOO_LONG");

    let (status, detail) = llm_check(&chat).await;
    assert_eq!(status, "healthy");
    assert!(detail.contains("server: vLLM, model found, context window of 1200 tokens"), "{detail}");
}

#[tokio::test]
async fn larger_window_and_silent_server_change_nothing() {
    for documents in [vec![(LIST, vllm("test/model", 131_072))], vec![]] {
        let mut chat = chat_with(&documents, &[]).await;
        wait_for_report(&chat).await;
        chat.visitor.ask_and_wait("What does she do?").await;
        assert_eq!(chat.upstream.next_request().await.body["max_tokens"], 2000);
        assert_eq!(llm_check(&chat).await.0, "healthy");
        let is_about_server = |line: &Value| {
            let module = line["module"].as_str().unwrap_or_default();
            line["level"] == "warning" && (module.contains("discovery") || module.contains("llm"))
        };
        let warnings = chat.server.logs().into_iter().filter(is_about_server);
        assert_eq!(warnings.collect::<Vec<_>>(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn resume_that_does_not_fit_is_an_error_but_the_server_goes_on() {
    let props = json!({"default_generation_settings": {"n_ctx": 512}, "total_slots": 1});
    let mut chat = chat_with(&[("/props", props)], &[]).await;
    let is_error = |line: &Value| line["msg"] == "resume does not fit into the context window of the model";
    let error = chat.server.wait_for_log("the error about the window", is_error).await;
    assert_eq!((&error["level"], &error["window_tokens"]), (&json!("error"), &json!(512)));

    assert_eq!(chat.visitor.ask_and_wait("What does she do?").await.status(), "complete");
    let (status, detail) = llm_check(&chat).await;
    assert_eq!(status, "degraded");
    assert!(detail.contains("server: llama.cpp") && detail.contains("the resume does not fit"), "{detail}");
}

#[tokio::test]
async fn missing_model_is_reported_with_similar_names() {
    let list = json!({"data": [
        {"id": "test/modle"}, {"id": "test/model-large"}, {"id": "a/b"}, {"id": "c/d"}, {"id": "e/f"},
    ]});
    let chat = chat_with(&[(LIST, list)], &[("LLM_FALLBACK_MODELS", "a/b,test/none")]).await;
    let is_warning = |line: &Value| line["msg"] == "model not found at the model server";
    let warning = chat.server.wait_for_log("the warning about the model", is_warning).await;
    assert_eq!((&warning["setting"], &warning["model"]), (&json!("LLM_MODEL"), &json!("test/model")));
    assert_eq!(warning["similar"], "test/modle, test/model-large");

    let (_, detail) = llm_check(&chat).await;
    assert!(detail.contains("model not found") && !detail.contains("modle"), "{detail}");

    let resume = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md");
    let base_url = chat.upstream.base_url();
    let settings = [
        ("DATABASE_URL", "sqlite://here.db"),
        ("LLM_BASE_URL", base_url.as_str()),
        ("LLM_MODEL", "test/model"),
        ("RESUME_PATH", resume),
    ];
    let checked = run_command(&["check"], &settings).await;
    let sentence = "LLM_MODEL: the model server has no model test/model (similar names: test/modle";
    assert!(checked.code == Some(0) && checked.stdout.contains(sentence), "{checked:?}");
}

#[tokio::test]
async fn openrouter_says_the_window_and_the_prices() {
    let upstream = FakeOpenRouter::start().await;
    let list = json!({"data": [
        {"id": "other/model", "context_length": 1, "pricing": {"prompt": "1", "completion": "1"}},
        {"id": "test/model", "context_length": 128_000, "pricing": {"prompt": "0.00000015",
            "completion": "0.0000006"}, "top_provider": {"context_length": 4096}},
    ]});
    upstream.serve_document("/models", 200, list);
    let chat = Chat::from_config(ServerConfig::openrouter(&upstream), upstream, &[]).await;
    wait_for_report(&chat).await;

    let (_, detail) = llm_check(&chat).await;
    let expected = "server: OpenRouter, model found, context window of 4096 tokens, $0.15 per million prompt tokens \
        and $0.6 per million answer tokens";
    assert!(detail.contains(expected), "{detail}");
    let inquiries = chat.upstream.inquiries();
    let paths: Vec<&str> = inquiries.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["http://openrouter.ai/api/v1/models"], "OpenRouter has no other documents");
    assert_eq!(inquiries[0].headers.get("authorization").map(String::as_str), Some("Bearer sk-or-test-key"));
}

#[tokio::test]
async fn ollama_runs_the_model_with_its_own_window() {
    let list = json!({"object": "list", "data": [{"id": "test/model:latest", "owned_by": "library"}]});
    let shown = |parameters: &str| {
        json!({"parameters": parameters, "model_info": {"general.architecture": "llama",
        "llama.context_length": 131_072}})
    };
    let running = json!({"models": [{"name": "test/model:latest", "context_length": 4096}]});
    for (documents, expected) in [
        (vec![("/api/show", shown("num_ctx 2048"))], "context window of 2048 tokens"),
        (vec![("/api/show", shown("")), ("/api/ps", running)], "context window of 4096 tokens"),
        (vec![("/api/show", shown(""))], "context window of at most 131072 tokens"),
    ] {
        let chat = chat_with(&[vec![(LIST, list.clone())], documents].concat(), &[]).await;
        let report = wait_for_report(&chat).await;
        let report = report["server"].as_str().unwrap_or_default();
        assert!(report.starts_with("Ollama, model found") && report.contains(expected), "{report}");
        assert!(chat.upstream.requests().is_empty(), "asking is no completion");
    }
}

#[tokio::test]
async fn litellm_and_lm_studio_are_recognized_by_their_documents() {
    let litellm = json!({"data": [{"model_name": "test/model", "litellm_params": {"model": "openai/x"},
        "model_info": {"max_input_tokens": 4096, "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}]});
    let lm_studio = json!({"data": [{"id": "test/model", "type": "llm", "compatibility_type": "gguf",
        "state": "loaded", "max_context_length": 32_768, "loaded_context_length": 4096}]});
    let list = json!({"data": [{"id": "test/model", "object": "model", "owned_by": "openai"}]});
    for (path, document, expected) in [
        ("/model/info", litellm, "LiteLLM, model found, context window of 4096 tokens, $1 per million"),
        ("/api/v0/models", lm_studio, "LM Studio, model found, context window of 4096 tokens"),
    ] {
        let chat = chat_with(&[(LIST, list.clone()), (path, document)], &[]).await;
        let report = wait_for_report(&chat).await;
        let report = report["server"].as_str().unwrap_or_default();
        assert!(report.starts_with(expected), "{report}");
    }
}

#[tokio::test]
async fn server_that_reads_a_part_of_the_prompt_is_reported_once_until_it_reads_all() {
    let upstream = FakeOpenRouter::start().await;
    let resume = format!("# Ada\n\n{}", "She led the timetable service of a railway.\n\n".repeat(300));
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("LLM_MODEL", "test/model")
        .resume(&resume);
    let mut chat = Chat::from_config(config, upstream, &[]).await;
    for (counted, status) in
        [(3_500, "healthy"), (1_024, "degraded"), (1_024, "degraded"), (3_500, "healthy")]
    {
        chat.upstream.queue(Script::from_words(&["Yes."]).usage(counted, 2, None));
        assert_eq!(chat.visitor.ask_and_wait("Is it her?").await.status(), "complete");
        let (now, detail) = llm_check(&chat).await;
        assert_eq!(now, status, "{detail}");
        assert_eq!(detail.contains("reads only a part of the prompts"), status == "degraded", "{detail}");
    }
    let lines: Vec<Value> = chat.server.logs();
    let warnings: Vec<&Value> =
        lines.iter().filter(|line| line["msg"] == "model server reads only a part of the prompt").collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!((&warnings[0]["level"], &warnings[0]["counted_tokens"]), (&json!("warning"), &json!(1024)));
}

#[tokio::test]
async fn unreadable_documents_are_ignored() {
    let documents = [
        (LIST, json!("<html>Sign in</html>")),
        ("/props", json!({"default_generation_settings": []})),
        ("/model/info", json!({"data": [1, null, {"model_name": []}]})),
    ];
    let mut chat = chat_with(&documents, &[]).await;
    let report = wait_for_report(&chat).await;
    assert!(report["cause"].as_str().unwrap_or_default().contains("unreadable"), "{report}");
    assert_eq!(chat.visitor.ask_and_wait("What does she do?").await.status(), "complete");
}

//! OpenAI-compatible servers: the requests they receive, and answers with missing or different
//! fields.

use std::time::Duration;

use resume_chatbot::settings::Tokenizer;
use resume_chatbot::tokens::TokenCounter;
use serde_json::json;

use crate::support::client::chat::Chat;
use crate::support::client::http::get;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const WORDS: [&str; 3] = ["She ", "builds ", "compilers."];

#[tokio::test]
async fn minimal_server_needs_no_key_and_tokens_are_counted_locally() {
    let mut chat = Chat::new(&[("OPENROUTER_API_KEY", "")]).await;
    chat.upstream.queue(Script::plain_server(&WORDS));

    let answer = chat.visitor.ask_and_wait("What does she do?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("She builds compilers.", "complete"));

    let request = chat.upstream.next_request().await;
    assert_eq!(request.headers.get("authorization"), None);

    let counter = TokenCounter::new(Tokenizer::Cl100kBase);
    let contents = request.messages().iter().filter_map(|message| message["content"].as_str());
    let texts: u32 = contents.map(|content| counter.count(content)).sum();
    let prompt = answer.done["usage"]["prompt_tokens"].as_u64().unwrap_or_default();

    assert!(prompt >= u64::from(texts), "{prompt} for texts of {texts}");
    assert_eq!(answer.done["usage"]["completion_tokens"], counter.count(&answer.text));
    assert!(answer.done["usage"].get("cost").is_none(), "the cost is unknown: {}", answer.done);
}

#[tokio::test]
async fn stream_that_hangs_after_its_finish_reason_is_complete() {
    let mut chat = Chat::new(&[("LLM_IDLE_TIMEOUT", "300ms"), ("LLM_MAX_RETRIES", "0")]).await;
    let finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    chat.upstream.queue(Script::from_words(&WORDS).bytes(finish).hang_after(WORDS.len()));
    // The script can hang only after a delta, so an empty one follows the finish reason.
    chat.upstream
        .queue(Script::from_words(&WORDS).bytes(finish).delta(json!({})).hang_after(WORDS.len() + 1));

    let hangs_before = chat.visitor.ask_and_wait("Does it hang before the finish?").await;
    assert_eq!((hangs_before.status(), &hangs_before.error["code"]), ("failed", &json!("API_TIMEOUT")));

    let hangs_after = chat.visitor.ask_and_wait("Does it hang after the finish?").await;
    assert_eq!((hangs_after.text.as_str(), hangs_after.status()), ("She builds compilers.", "complete"));
}

#[tokio::test]
async fn api_key_is_sent_as_a_bearer_token_and_never_logged() {
    let mut chat = Chat::new(&[("LOG_LEVEL", "trace")]).await;

    chat.visitor.ask_and_wait("What does she do?").await;
    let request = chat.upstream.next_request().await;
    assert_eq!(request.headers.get("authorization").map(String::as_str), Some("Bearer sk-or-test-key"));

    let logs = json!(chat.server.logs()).to_string();
    assert!(!logs.contains("sk-or-test-key"), "{logs}");
}

#[tokio::test]
async fn prompt_contains_resume_conversation_and_question_in_order() {
    let mut chat = Chat::new(&[("MAX_RESPONSE_TOKENS", "321")]).await;
    chat.upstream.queue(Script::from_words(&["In ", "Lisbon."])).queue(Script::from_words(&["Rust."]));

    chat.visitor.ask_and_wait("Where does she live?").await;
    chat.visitor.ask_and_wait("And which language?").await;

    let first = chat.upstream.next_request().await;
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/v1/chat/completions"));
    assert_eq!(first.messages().len(), 2);

    let second = chat.upstream.next_request().await;
    assert_eq!(second.body["model"], "test/model");
    assert_eq!(second.body["stream"], true);
    assert_eq!(second.body["max_tokens"], 321);
    assert_eq!(second.body.get("models"), None, "unexpected fallback models");

    let [system, conversation @ ..] = second.messages() else {
        return assert!(!second.messages().is_empty(), "no messages");
    };
    assert_eq!(system["role"], "system");
    assert!(system["content"].as_str().is_some_and(|text| text.contains("Northwind Rail")), "{system}");
    assert_eq!(system, &first.messages()[0], "the system prompt must stay constant for caching");

    let expected = json!([
        {"role": "user", "content": "Where does she live?"},
        {"role": "assistant", "content": "In Lisbon."},
        {"role": "user", "content": "And which language?"},
    ]);
    assert_eq!(json!(conversation), expected);
}

#[tokio::test]
async fn reasoning_deltas_prevent_timeouts_and_are_not_sent() {
    let mut chat = Chat::new(&[("LLM_FIRST_WORD_TIMEOUT", "300ms"), ("LLM_IDLE_TIMEOUT", "300ms")]).await;
    for name in ["reasoning", "reasoning_content"] {
        let script = (0..8).fold(Script::new().every(Duration::from_millis(100)), |script, _| {
            script.delta(json!({"content": null, name: "Hm."}))
        });
        chat.upstream.queue(script.words(&WORDS));
        let answer = chat.visitor.ask_and_wait("What does she do?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("She builds compilers.", "complete"), "{name}");
    }

    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn context_length_error_is_recognized_by_its_message() {
    let mut chat = Chat::new(&[]).await;
    let vllm = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens.";
    let bodies = [
        json!({"object": "error", "message": vllm, "type": "BadRequestError", "code": 400}),
        json!({"error": {"message": vllm, "type": "BadRequestError", "param": null, "code": 400}}),
        json!({"error": {"code": 400, "message": "the request exceeds the available context size",
            "type": "exceed_context_size_error"}}),
    ];

    chat.visitor.ask_and_wait("Are you there?").await;
    for body in bodies {
        chat.upstream.queue(Script::new().http_error(400, body, &[])).queue(Script::from_words(&WORDS));
        let earlier_requests = chat.upstream.requests().len();
        assert_eq!(chat.visitor.ask_and_wait("What does she do?").await.text, "She builds compilers.");
        let requests = chat.upstream.requests();
        assert!(
            requests[earlier_requests + 1].messages().len() < requests[earlier_requests].messages().len()
        );
    }
}

#[tokio::test]
async fn missing_model_name_defaults_to_the_requested_model() {
    let mut chat = Chat::new(&[("LLM_FALLBACK_MODELS", "test/second")]).await;
    let nameless = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi.\"},\"finish_reason\":\"stop\"}]}\n\n";
    let silent = || Script::new().bytes(nameless).no_role().no_finish().no_usage();
    chat.upstream.queue(silent()).queue(Script::rejection(503, "no")).queue(silent());

    assert_eq!(chat.visitor.ask_and_wait("Who is it?").await.done["model"], "test/model");
    assert_eq!(chat.visitor.ask_and_wait("And now?").await.done["model"], "test/second");
}

#[tokio::test]
async fn thinking_with_only_a_closing_tag_is_taken_back_once_and_held_back_then() {
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    let words = ["Let me see: ", "she…", "</think>\n\n", "Compilers."];
    chat.upstream.queue(Script::from_words(&words).hold_after(1, &gate));
    chat.upstream.queue(Script::from_words(&words)).queue(Script::from_words(&["No ", "thinking."]));

    chat.visitor.ask("What does she build?").await;
    let shown = chat.visitor.receive_until("delta").await;
    assert!(shown.last().is_some_and(|delta| delta["text"] == "Let me see: "), "{shown:?}");
    gate.open();
    let frames = chat.visitor.receive_until("done").await;
    assert!(frames.iter().any(|frame| frame["type"] == "reset"), "{frames:?}");
    let rest: String = frames.iter().filter_map(|frame| frame["text"].as_str()).collect();
    assert!(rest.ends_with("Compilers."), "{frames:?}");

    // The model is known now, also to answers without thinking.
    for expected in ["Compilers.", "No thinking."] {
        let answer = chat.visitor.ask_and_wait("And again?").await;
        assert_eq!((answer.text.as_str(), answer.status()), (expected, "complete"));
        assert!(!answer.other_frames.iter().any(|frame| frame["type"] == "reset"), "{answer:?}");
    }
    let history = chat.visitor.history(json!({"type": "history"})).await;
    assert!(!history.to_string().contains("Let me see"), "{history}");
    let requests = chat.upstream.requests();
    assert!(!json!(requests[2].messages()).to_string().contains("Let me see"), "thinking was sent back");
}

#[tokio::test]
async fn refused_fields_are_left_out_from_then_on_and_health_says_so() {
    let mut chat = Chat::new(&[]).await;
    let refusal = |param: &str, message: &str| {
        let error = json!({"message": message, "type": "invalid_request_error", "param": param,
            "code": "unsupported_parameter"});
        Script::new().http_error(400, json!({ "error": error }), &[])
    };
    chat.upstream
        .queue(refusal("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead."))
        .queue(refusal("stream_options", "Unrecognized request argument supplied: stream_options"))
        .queue(refusal(
            "messages[0].role",
            "Unsupported value: 'messages[0].role' does not support 'system'",
        ));

    assert_eq!(chat.visitor.ask_and_wait("What does she do?").await.status(), "complete");
    assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");

    let requests = chat.upstream.requests();
    assert_eq!(requests.len(), 5, "three refusals, and one request for each answer");
    for request in &requests[3..] {
        assert_eq!(request.body.get("max_tokens"), None);
        assert_eq!(request.body["max_completion_tokens"], 2000);
        assert_eq!(request.body.get("stream_options"), None);
        assert_eq!(request.messages()[0]["role"], "user");
    }
    let health = get(&chat.server, "/health?deep=true").await.json();
    let detail = health["checks"]["llm"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("max_completion_tokens") && detail.contains("no stream_options"), "{detail}");
    assert_eq!(health["status"], "healthy", "a lesson is no failure: {health}");
}

#[tokio::test]
async fn lesson_is_kept_only_if_the_new_form_is_answered() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "0"), ("DEGRADED_MODE", "off")]).await;
    let refusal = || {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model.";
        Script::new().http_error(400, json!({"error": {"message": message, "param": "max_tokens"}}), &[])
    };
    chat.upstream.queue(refusal()).queue(refusal());
    assert_eq!(chat.visitor.ask_and_wait("What does she do?").await.status(), "failed");
    assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");
    assert_eq!(chat.upstream.requests()[2].body["max_tokens"], 2000);
}

#[tokio::test]
async fn answer_that_is_all_thinking_is_asked_for_once_and_the_log_names_the_setting() {
    let mut chat = Chat::new(&[]).await;
    let thinking = Script::new().reasoning(&["Hm. "; 9]).finish("length").usage(42, 16_800, None);
    chat.upstream.queue(thinking);

    let answer = chat.visitor.ask_and_wait("What does she do?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("", "failed"));
    let message = answer.error["message"].as_str().unwrap_or_default();
    assert!(message.contains("thought for so long"), "{}", answer.error);
    assert_eq!(answer.error["retryable"], false);
    assert_eq!(answer.done["usage"]["completion_tokens"], 16_800);
    assert_eq!(chat.upstream.requests().len(), 1);
    let names_setting = |entry: &serde_json::Value| {
        entry["cause"].as_str().is_some_and(|cause| cause.contains("MAX_RESPONSE_TOKENS"))
    };
    chat.server.wait_for_log("the setting", names_setting).await;
}

//! Any OpenAI-compatible server answers, whatever it leaves out, and is asked in the shape it expects.

use std::time::Duration;

use resume_chatbot::settings::Tokenizer;
use resume_chatbot::tokens::TokenCounter;
use serde_json::json;

use crate::support::client::chat::Chat;
use crate::support::upstream::script::Script;

const WORDS: [&str; 3] = ["She ", "builds ", "compilers."];

#[tokio::test]
async fn a_plain_server_needs_no_key_and_its_tokens_are_counted_here() {
    let mut chat = Chat::with(&[("OPENROUTER_API_KEY", "")]).await;
    chat.upstream.queue(Script::plain_server(&WORDS));
    let answer = chat.visitor.ask_and_hear("What does she do?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("She builds compilers.", "complete"));

    let request = chat.upstream.next_request().await;
    assert_eq!(request.headers.get("authorization"), None);
    let counter = TokenCounter::new(Tokenizer::Cl100kBase);
    let contents = request.messages().iter().filter_map(|message| message["content"].as_str());
    let texts: u32 = contents.map(|content| counter.count(content)).sum();
    let prompt = answer.done["usage"]["prompt_tokens"].as_u64().unwrap_or_default();
    assert!(prompt >= u64::from(texts), "{prompt} for texts of {texts}");
    assert_eq!(answer.done["usage"]["completion_tokens"], counter.count(&answer.text));
    assert!(answer.done["usage"].get("cost").is_none(), "nobody named a cost: {}", answer.done);
}

#[tokio::test]
async fn a_server_that_finishes_and_then_says_nothing_more_is_not_waited_for() {
    let mut chat = Chat::with(&[("LLM_IDLE_TIMEOUT", "300ms"), ("LLM_MAX_RETRIES", "0")]).await;
    let finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    chat.upstream.queue(Script::of(&WORDS).bytes(finish).hang_after(WORDS.len()));
    // It hangs right behind a delta, so one that carries nothing comes behind the finish.
    chat.upstream.queue(Script::of(&WORDS).bytes(finish).delta(json!({})).hang_after(WORDS.len() + 1));
    let silent_before = chat.visitor.ask_and_hear("Does it hang before the finish?").await;
    assert_eq!((silent_before.status(), &silent_before.error["code"]), ("failed", &json!("API_TIMEOUT")));
    let silent_after = chat.visitor.ask_and_hear("Does it hang after the finish?").await;
    assert_eq!((silent_after.text.as_str(), silent_after.status()), ("She builds compilers.", "complete"));
}

#[tokio::test]
async fn a_key_is_sent_as_a_bearer_token_and_never_logged() {
    let mut chat = Chat::with(&[("LOG_LEVEL", "trace")]).await;
    chat.visitor.ask_and_hear("What does she do?").await;
    let request = chat.upstream.next_request().await;
    assert_eq!(request.headers.get("authorization").map(String::as_str), Some("Bearer sk-or-test-key"));
    let logs = json!(chat.server.logs()).to_string();
    assert!(!logs.contains("sk-or-test-key"), "{logs}");
}

#[tokio::test]
async fn the_prompt_is_the_resume_then_the_conversation_then_the_question() {
    let mut chat = Chat::with(&[("MAX_RESPONSE_TOKENS", "321")]).await;
    chat.upstream.queue(Script::of(&["In ", "Lisbon."])).queue(Script::of(&["Rust."]));
    chat.visitor.ask_and_hear("Where does she live?").await;
    chat.visitor.ask_and_hear("And which language?").await;

    let first = chat.upstream.next_request().await;
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/v1/chat/completions"));
    assert_eq!(first.messages().len(), 2);
    let second = chat.upstream.next_request().await;
    assert_eq!(second.body["model"], "test/model");
    assert_eq!(second.body["stream"], true);
    assert_eq!(second.body["max_tokens"], 321);
    assert_eq!(second.body.get("models"), None, "no fallbacks are configured");
    let [system, conversation @ ..] = second.messages() else {
        return assert!(!second.messages().is_empty(), "no messages");
    };
    assert_eq!(system["role"], "system");
    assert!(system["content"].as_str().is_some_and(|text| text.contains("Northwind Rail")), "{system}");
    assert_eq!(system, &first.messages()[0], "what every prompt begins with must not change: it is cached");
    let expected = json!([
        {"role": "user", "content": "Where does she live?"},
        {"role": "assistant", "content": "In Lisbon."},
        {"role": "user", "content": "And which language?"},
    ]);
    assert_eq!(json!(conversation), expected);
}

#[tokio::test]
async fn thinking_aloud_under_any_name_is_work_and_is_not_shown() {
    let mut chat = Chat::with(&[("LLM_FIRST_WORD_TIMEOUT", "300ms"), ("LLM_IDLE_TIMEOUT", "300ms")]).await;
    for name in ["reasoning", "reasoning_content"] {
        let script = (0..8).fold(Script::new().every(Duration::from_millis(100)), |script, _| {
            script.delta(json!({"content": null, name: "Hm."}))
        });
        chat.upstream.queue(script.words(&WORDS));
        let answer = chat.visitor.ask_and_hear("What does she do?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("She builds compilers.", "complete"), "{name}");
    }
    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_known_by_a_sentence_too() {
    let mut chat = Chat::with(&[]).await;
    let vllm = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens.";
    let bodies = [
        json!({"object": "error", "message": vllm, "type": "BadRequestError", "code": 400}),
        json!({"error": {"message": vllm, "type": "BadRequestError", "param": null, "code": 400}}),
        json!({"error": {"code": 400, "message": "the request exceeds the available context size",
            "type": "exceed_context_size_error"}}),
    ];
    chat.visitor.ask_and_hear("Are you there?").await;
    for body in bodies {
        chat.upstream.queue(Script::new().http_error(400, body, &[])).queue(Script::of(&WORDS));
        let asked = chat.upstream.requests().len();
        assert_eq!(chat.visitor.ask_and_hear("What does she do?").await.text, "She builds compilers.");
        let requests = chat.upstream.requests();
        assert!(requests[asked + 1].messages().len() < requests[asked].messages().len());
    }
}

#[tokio::test]
async fn a_server_that_names_no_model_answered_with_the_one_that_was_asked() {
    let mut chat = Chat::with(&[("LLM_FALLBACK_MODELS", "test/second")]).await;
    let nameless = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi.\"},\"finish_reason\":\"stop\"}]}\n\n";
    let silent = || Script::new().bytes(nameless).no_role().no_finish().no_usage();
    chat.upstream.queue(silent()).queue(Script::refusal(503, "no")).queue(silent());
    assert_eq!(chat.visitor.ask_and_hear("Who is it?").await.done["model"], "test/model");
    assert_eq!(chat.visitor.ask_and_hear("And now?").await.done["model"], "test/second");
}

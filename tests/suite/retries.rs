//! A failure that may be over soon is asked about again: at no time twice without saying so, never without an end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::{Answer, cursor_at};
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::gate::Gate;
use crate::support::script::Script;

const NO_QUOTES: (&str, &str) = ("DEGRADED_MODE", "off");

fn broken(words: &[&str]) -> Script {
    Script::of(words).drop_connection_after(words.len())
}

fn resets(answer: &Answer) -> usize {
    answer.others.iter().filter(|frame| frame["type"] == "reset").count()
}

/// The log of a second try.
async fn second_try(chat: &Chat) -> Value {
    let once_more = |entry: &Value| entry["msg"] == "asking once more for the same answer";
    chat.server.wait_for_log("that it is asked once more", once_more).await
}

#[tokio::test]
async fn what_fails_before_the_first_word_is_asked_again_and_the_visitor_does_not_notice() {
    let mut chat = Chat::with(&[]).await;
    for script in [
        Script::refusal(502, "no"),
        Script::refusal(429, "no"),
        Script::new().drop_connection_after(0),
        Script::new().bytes(": hm\n\n").error_in_stream("server_error", "no"),
        Script::new().delta(json!({"content": ""})),
    ] {
        chat.upstream.queue(script).queue(Script::of(&["Here ", "it is."]));
        let answer = chat.visitor.ask_and_hear("Is it there?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Here it is.", "complete"), "{answer:?}");
        assert_eq!(
            (resets(&answer), answer.seqs.last(), &answer.done["mode"]),
            (0, Some(&2), &json!("live"))
        );
        assert!(answer.others.iter().all(|frame| frame["type"] != "notice"), "{answer:?}");
    }
    assert_eq!(chat.upstream.requests().len(), 10);
    let line = second_try(&chat).await;
    assert_eq!(
        (&line["how"], &line["may_be_charged_twice"]),
        (&json!("same_model"), &json!(false)),
        "{line}"
    );
    assert!(line["turn_id"].is_string() && line["cause"].as_str().unwrap().contains("502"), "{line}");
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is_left_alone_for_as_long_as_it_says() {
    let mut chat = Chat::with(&[]).await;
    chat.upstream.queue(Script::new().http_error(
        429,
        json!({"error": {"code": 429}}),
        &[("Retry-After", "1")],
    ));
    let asked_at = Instant::now();
    assert_eq!(chat.visitor.ask_and_hear("Is it there?").await.status(), "complete");
    assert!(asked_at.elapsed() >= Duration::from_secs(1), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn what_will_fare_the_same_is_not_asked_again() {
    let mut chat = Chat::with(&[NO_QUOTES, ("LLM_BREAKER_FAILURES", "0")]).await;
    let hopeless = json!({"error": {"code": 503, "message": "no", "availability": {"retryable": false}}});
    let day = "Rate limit exceeded: free-models-per-day";
    for (number, script) in [400, 401, 402, 403, 404]
        .map(|status| Script::refusal(status, "no"))
        .into_iter()
        .chain([Script::refusal(429, day), Script::new().http_error(503, hopeless, &[])])
        .enumerate()
    {
        chat.upstream.queue(script);
        assert_eq!(chat.visitor.ask_and_hear("Is it there?").await.status(), "failed", "{number}");
        assert_eq!(chat.upstream.requests().len(), number + 1);
    }
}

#[tokio::test]
async fn tries_have_an_end_in_number() {
    let mut chat = Chat::with(&[NO_QUOTES, ("LLM_MAX_RETRIES", "3")]).await;
    chat.upstream.always(Script::refusal(500, "no"));
    assert_eq!(chat.visitor.ask_and_hear("Is it there?").await.status(), "failed");
    assert_eq!(chat.upstream.requests().len(), 4);
}

#[tokio::test]
async fn tries_have_an_end_in_time_and_a_silent_server_is_answered_for_by_quotes() {
    let mut chat = Chat::with(&[("LLM_FIRST_WORD_TIMEOUT", "400ms"), ("LLM_MAX_RETRIES", "10")]).await;
    chat.upstream.queue(Script::refusal(500, "no")).always(Script::new().hang_before_headers());
    let asked_at = Instant::now();
    chat.visitor.ask("What was done at Northwind Rail?").await;
    chat.visitor.hear_until("delta").await;
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
    assert_eq!(chat.visitor.rest_of_answer().await.done["mode"], "excerpts");
    assert_eq!(chat.upstream.requests().len(), 2);
}

on_both_stores! {
    async fn words_of_a_broken_answer_are_replaced_and_the_log_says_what_it_may_cost(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(broken(&["Some ", "void ", "words "]).generation("gen-void"));
        chat.upstream.queue(Script::of(&["Better ", "ones."]));
        chat.visitor.ask("What is it?").await;
        hear_text(&mut chat.visitor, "Some void words ").await;
        let answer = chat.visitor.rest_of_answer().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Better ones.", "complete"));
        assert_eq!((resets(&answer), answer.seqs.last()), (1, Some(&2)), "{answer:?}");
        let kept = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'Better ones.'";
        assert_eq!(store.number(kept).await, 1);
        let line = second_try(&chat).await;
        assert_eq!((&line["may_be_charged_twice"], &line["void_bytes"]), (&json!(true), &json!(16)), "{line}");
        assert_eq!(line["source_id"], "gen-void");
    }

    async fn words_stay_when_nothing_better_comes(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("LLM_MAX_RETRIES", "1")]).await;
        chat.upstream.queue(broken(&["Some ", "words "])).queue(Script::refusal(500, "no"));
        let answer = chat.visitor.ask_and_hear("What is it?").await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Some words ", "failed"));
        assert_eq!((&answer.error["code"], &answer.done["mode"]), (&json!("API_ERROR"), &json!("live")));
        assert_eq!(resets(&answer), 0);
        until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'Some words '", 1).await;
    }

    async fn a_client_that_comes_back_is_not_given_words_behind_void_ones(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let (breaks, goes_on) = (Gate::default(), Gate::default());
        chat.upstream.queue(Script::of(&["Some ", "void "]).hold_after(2, &breaks).drop_connection_after(2));
        chat.upstream.queue(Script::of(&["One ", "two ", "three ", "four."]).hold_after(3, &goes_on));
        let session = chat.visitor.start().await;
        chat.visitor.ask("Count, please.").await;
        let void = hear_text(&mut chat.visitor, "Some void ").await;
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        chat.server.wait_for_log("the lost connection", |entry| entry["msg"] == "session closed").await;
        breaks.open();
        // Somebody must be there to see the new words come.
        let mut witness = chat.another().await;
        witness.resume(&session, Value::Null).await;
        let counted = hear_after_reset(&mut witness, "One two three ").await;
        drop(witness);
        let back = chat.visitor.resume(&session, cursor_at(&void)).await;
        assert_eq!(back.frame["recovered"], false, "delta 2 may be a void one: {}", back.frame);
        hear_text(&mut chat.visitor, "One two three ").await;
        let mut third = chat.another().await;
        let back = third.resume(&session, cursor_at(&counted)).await;
        assert_eq!(back.frame["recovered"], true, "no void attempt had a delta 3: {}", back.frame);
        goes_on.open();
        assert_eq!(third.rest_of_answer().await.text, "four.");
    }
}

/// Hears an answer up to `text`, whatever came before a reset.
async fn hear_after_reset(visitor: &mut crate::support::chat_client::ChatClient, text: &str) -> Value {
    let mut heard = String::new();
    loop {
        let frame = visitor.hear().await;
        match frame["type"].as_str() {
            Some("reset") => heard.clear(),
            Some("delta") => heard.push_str(frame["text"].as_str().unwrap_or_default()),
            _ => {}
        }
        if heard == text {
            return frame;
        }
    }
}

#[tokio::test]
async fn other_models_are_asked_in_their_order_and_the_one_that_answered_is_named() {
    let models = ("LLM_FALLBACK_MODELS", "test/second, test/third");
    let mut chat = Chat::with(&[models, ("LLM_MAX_RETRIES", "0")]).await;
    chat.upstream.queue(Script::refusal(404, "no such model")).queue(broken(&["Void "]));
    let answer = chat.visitor.ask_and_hear("Who answers?").await;
    assert_eq!((answer.status(), &answer.done["model"]), ("complete", &json!("test/third")));
    let asked: Vec<Value> = chat.upstream.requests().iter().map(|it| it.body["model"].clone()).collect();
    assert_eq!(asked, ["test/model", "test/second", "test/third"]);
    let line = second_try(&chat).await;
    assert_eq!(line["how"], "other_model");
}

#[tokio::test]
async fn openrouter_is_told_all_models_at_once_and_whose_conversation_it_is() {
    let settings = [
        ("LLM_FALLBACK_MODELS", "test/second, test/third"),
        ("LLM_APP_URL", "https://ada.example"),
        ("LLM_APP_TITLE", "Ask Ada"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100"),
        ("LLM_PRICE_PROMPT", "0.15"),
        ("LLM_PRICE_COMPLETION", "0.6"),
    ];
    let mut chat = Chat::with_openrouter(&settings).await;
    chat.upstream.queue(Script::of(&["A."]).model("test/third"));
    let answer = chat.visitor.ask_and_hear("Who answers?").await;
    assert_eq!((answer.status(), &answer.done["model"]), ("complete", &json!("test/third")));
    chat.visitor.ask_and_hear("And now?").await;
    let mut other = chat.another().await;
    other.ask_and_hear("Who is there?").await;
    let requests = chat.upstream.requests();
    for request in &requests {
        assert_eq!(request.path, "http://openrouter.ai/api/v1/chat/completions");
        assert_eq!(request.body["models"], json!(["test/second", "test/third"]));
        assert_eq!(request.body["plugins"], json!([{"id": "context-compression", "enabled": false}]));
        assert_eq!(request.body["max_tokens"], 2000);
        assert_eq!(request.body["provider"], json!({"max_price": {"prompt": 0.15, "completion": 0.6}}));
        assert_eq!(request.body.get("stream_options"), None, "it is a deprecated no-op there");
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(header("http-referer"), Some("https://ada.example"));
        assert_eq!(header("x-openrouter-title"), Some("Ask Ada"));
        assert_eq!(header("accept-encoding"), None, "nothing is asked for that would have to be unpacked");
    }
    let id = |number: usize| requests[number].body["session_id"].as_str().unwrap().to_owned();
    assert_eq!((id(0), id(0).len()), (id(1), 32));
    assert_ne!(id(0), id(2));
    let said = json!(chat.visitor.heard()).to_string();
    assert!(!said.contains(&id(0)), "what names a conversation there is not what names it here");
    let system = |number: usize| &requests[number].messages()[0];
    assert_eq!((system(0), system(0)), (system(1), system(2)), "what every prompt begins with is cached");
}

#[tokio::test]
async fn a_prompt_that_the_model_finds_too_long_is_sent_once_more_without_its_older_half() {
    let mut chat = Chat::with(&[NO_QUOTES]).await;
    for question in ["One?", "Two?", "Three?", "Four?"] {
        chat.upstream.queue(Script::of(&["Yes."]));
        chat.visitor.ask_and_hear(question).await;
    }
    let too_long = || {
        let metadata = json!({"error_type": "context_length_exceeded"});
        Script::new().http_error(
            400,
            json!({"error": {"code": 400, "message": "no", "metadata": metadata}}),
            &[],
        )
    };
    chat.upstream.queue(too_long()).queue(Script::of(&["In short, yes."]));
    let answer = chat.visitor.ask_and_hear("Five?").await;
    assert_eq!((answer.text.as_str(), answer.status()), ("In short, yes.", "complete"));
    let asked = chat.upstream.requests().pop().unwrap();
    let said: Vec<_> = asked.messages().iter().skip(1).map(|it| it["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["Three?", "Yes.", "Four?", "Yes.", "Five?"]);
    assert_eq!(second_try(&chat).await["how"], "shorter_prompt");

    chat.upstream.queue(too_long()).queue(too_long());
    let answer = chat.visitor.ask_and_hear("Six?").await;
    assert_eq!((answer.status(), &answer.error["code"]), ("failed", &json!("MESSAGE_TOO_LONG")));
    assert_eq!(answer.error["retryable"], false);
    assert_eq!(chat.upstream.requests().len(), 8);
    assert_eq!(chat.visitor.ask_and_hear("Seven?").await.status(), "complete");
}

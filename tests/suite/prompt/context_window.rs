//! The context window: the oldest exchanges are pruned from the prompt, the transcript keeps them.

use resume_chatbot::settings::Tokenizer;
use resume_chatbot::tokens::{MESSAGE_OVERHEAD, PROMPT_OVERHEAD, TokenCounter};
use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::Chat;
use crate::support::upstream::request::Request;
use crate::support::upstream::script::Script;

const CONTEXT_TOKENS: u32 = 1_200;
const RESPONSE_TOKENS: u32 = 100;
const ROUNDS: usize = 12;

const SMALL_CONTEXT: [(&str, &str); 3] = [
    ("MAX_CONTEXT_TOKENS", "1200"),
    ("MAX_RESPONSE_TOKENS", "100"),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100"),
];

fn question(round: usize) -> String {
    format!("Question {round}: {}?", "what did she do there ".repeat(6).trim_end())
}

fn answer(round: usize) -> String {
    format!("Answer {round}: {}.", "she led the timetable service ".repeat(8).trim_end())
}

fn message_tokens(texts: &[&str]) -> u32 {
    let counter = TokenCounter::new(Tokenizer::Cl100kBase);
    texts.iter().map(|text| counter.count(text) + MESSAGE_OVERHEAD).sum()
}

/// Returns the length of a prompt in tokens.
fn prompt_tokens(request: &Request) -> u32 {
    let contents = request.messages().iter().filter_map(|message| message["content"].as_str());
    message_tokens(&contents.collect::<Vec<_>>()) + PROMPT_OVERHEAD
}

/// Returns how many earlier exchanges the prompt of `round` contains. They must be complete, in
/// order, and the newest ones.
fn exchanges_in_prompt(request: &Request, round: usize) -> usize {
    let [system, earlier_messages @ .., last] = request.messages() else { return usize::MAX };
    assert_eq!((&system["role"], &last["content"]), (&json!("system"), &json!(question(round))));
    assert_eq!(earlier_messages.len() % 2, 0, "incomplete exchange: {earlier_messages:?}");
    let kept = earlier_messages.len() / 2;
    let expected: Vec<Value> = (round - kept..round)
        .flat_map(|earlier| {
            [
                json!({"role": "user", "content": question(earlier)}),
                json!({"role": "assistant", "content": answer(earlier)}),
            ]
        })
        .collect();
    assert_eq!(earlier_messages, expected);
    kept
}

/// Asks a question, and returns whether the client received a `CONTEXT_PRUNED` notice.
async fn ask(chat: &mut Chat, round: usize) -> bool {
    chat.upstream.queue(Script::from_words(&[&answer(round)]));
    let received = chat.visitor.ask_and_wait(&question(round)).await;
    assert_eq!(received.status(), "complete");
    received.other_frames.iter().any(|frame| frame["code"] == "CONTEXT_PRUNED")
}

on_both_stores! {
    async fn oldest_exchanges_are_pruned_and_the_transcript_keeps_them(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &SMALL_CONTEXT).await;
        let session = chat.visitor.start().await;
        let (mut pruned_rounds, mut kept) = (Vec::new(), Vec::new());

        for round in 0..ROUNDS {
            if ask(&mut chat, round).await {
                pruned_rounds.push(round);
            }
            let request = chat.upstream.next_request().await;
            let used = prompt_tokens(&request);
            assert!(used + RESPONSE_TOKENS <= CONTEXT_TOKENS, "{used} tokens in round {round}");
            kept.push(exchanges_in_prompt(&request, round));
            if let Some(left_out) = round.checked_sub(kept[round] + 1) {
                let more = message_tokens(&[&question(left_out), &answer(left_out)]);
                assert!(
                    used + more + RESPONSE_TOKENS > CONTEXT_TOKENS,
                    "the exchange of round {left_out} fits into the prompt of round {round}"
                );
            }
        }

        let max_kept = kept.iter().copied().max().unwrap_or_default();
        assert!((2..ROUNDS - 2).contains(&max_kept), "the test does not reach the limit: {kept:?}");

        let expected: Vec<usize> = (0..ROUNDS).map(|round| round.min(max_kept)).collect();
        assert_eq!(kept, expected, "an exchange that fits was pruned");
        assert_eq!(pruned_rounds, [max_kept + 1], "expected one notice, when the first exchange is pruned");

        chat.visitor.send(json!({"type": "history"})).await;
        let transcript = chat.visitor.expect_frame("history").await;
        let contents: Vec<_> = transcript["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| &message["content"])
            .collect();
        let all: Vec<_> = (0..ROUNDS).flat_map(|round| [question(round), answer(round)]).collect();

        assert_eq!(contents, all.iter().collect::<Vec<_>>());

        // The window is the same after a resume.
        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, json!(null)).await;
        ask(&mut chat, ROUNDS).await;

        assert_eq!(exchanges_in_prompt(&chat.upstream.next_request().await, ROUNDS), max_kept);
    }
}

#[tokio::test]
async fn question_longer_than_the_window_is_rejected_with_both_numbers() {
    let mut chat = Chat::new(&[("MAX_CONTEXT_TOKENS", "800"), ("MAX_RESPONSE_TOKENS", "16")]).await;
    let question = "\u{1f980}".repeat(600);

    let length = TokenCounter::new(Tokenizer::Cl100kBase).count(&question);
    chat.visitor.start().await;
    chat.visitor.ask(&question).await;
    let error = chat.visitor.expect_error("MESSAGE_TOO_LONG").await;
    let message = error["message"].as_str().unwrap_or_default();
    let numbers: Vec<u32> =
        message.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();

    assert!(numbers.len() == 2 && numbers[0] == length && numbers[1] < length, "{message}");
    assert!(chat.upstream.requests().is_empty());
    assert_eq!(chat.visitor.ask_and_wait("Short?").await.status(), "complete");
}

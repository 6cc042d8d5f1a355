//! Long conversations: the oldest exchanges leave the prompt, whole; the transcript keeps everything.

use resume_chatbot::settings::Tokenizer;
use resume_chatbot::tokens::{MESSAGE_OVERHEAD, PROMPT_OVERHEAD, TokenCounter};
use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::Chat;
use crate::support::upstream::request::Request;
use crate::support::upstream::script::Script;

const CONTEXT: u32 = 1_200;
const RESPONSE: u32 = 100;
const ROUNDS: usize = 12;

const SMALL: [(&str, &str); 3] = [
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

fn count(texts: &[&str]) -> u32 {
    let counter = TokenCounter::new(Tokenizer::Cl100kBase);
    texts.iter().map(|text| counter.count(text) + MESSAGE_OVERHEAD).sum()
}

/// The length of a prompt.
fn tokens(request: &Request) -> u32 {
    let contents = request.messages().iter().filter_map(|message| message["content"].as_str());
    count(&contents.collect::<Vec<_>>()) + PROMPT_OVERHEAD
}

/// The rounds of which the prompt of `round` holds the exchange. Fails unless they are whole, in order, the newest.
fn rounds_in(request: &Request, round: usize) -> usize {
    let [system, said @ .., asked] = request.messages() else { return usize::MAX };
    assert_eq!((&system["role"], &asked["content"]), (&json!("system"), &json!(question(round))));
    assert_eq!(said.len() % 2, 0, "half an exchange: {said:?}");
    let kept = said.len() / 2;
    let expected: Vec<Value> = (round - kept..round)
        .flat_map(|it| {
            [
                json!({"role": "user", "content": question(it)}),
                json!({"role": "assistant", "content": answer(it)}),
            ]
        })
        .collect();
    assert_eq!(said, expected);
    kept
}

/// Asks, and says whether the visitor was told that the context was pruned.
async fn ask(chat: &mut Chat, round: usize) -> bool {
    chat.upstream.queue(Script::of(&[&answer(round)]));
    let heard = chat.visitor.ask_and_hear(&question(round)).await;
    assert_eq!(heard.status(), "complete");
    heard.others.iter().any(|frame| frame["code"] == "CONTEXT_PRUNED")
}

on_both_stores! {
    async fn the_oldest_exchanges_leave_the_prompt_first_and_the_transcript_keeps_them(store: FreshStore) {
        let mut chat = Chat::on(&store, &SMALL).await;
        let session = chat.visitor.start().await;
        let (mut told, mut kept) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            if ask(&mut chat, round).await {
                told.push(round);
            }
            let request = chat.upstream.next_request().await;
            let used = tokens(&request);
            assert!(used + RESPONSE <= CONTEXT, "{used} tokens in round {round}");
            kept.push(rounds_in(&request, round));
            if let Some(left_out) = round.checked_sub(kept[round] + 1) {
                let more = count(&[&question(left_out), &answer(left_out)]);
                assert!(used + more + RESPONSE > CONTEXT, "round {left_out} fits into that of {round}");
            }
        }
        let most = kept.iter().copied().max().unwrap_or_default();
        assert!((2..ROUNDS - 2).contains(&most), "the window must be met within the test: {kept:?}");
        let expected: Vec<usize> = (0..ROUNDS).map(|round| round.min(most)).collect();
        assert_eq!(kept, expected, "what fits stays");
        assert_eq!(told, [most + 1], "told once, when the first exchange has left");

        chat.visitor.say(json!({"type": "history"})).await;
        let transcript = chat.visitor.hear_type("history").await;
        let said: Vec<_> = transcript["messages"].as_array().into_iter().flatten().map(|it| &it["content"]).collect();
        let all: Vec<_> = (0..ROUNDS).flat_map(|round| [question(round), answer(round)]).collect();
        assert_eq!(said, all.iter().collect::<Vec<_>>());

        // The same window holds for a conversation that comes back.
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, json!(null)).await;
        ask(&mut chat, ROUNDS).await;
        assert_eq!(rounds_in(&chat.upstream.next_request().await, ROUNDS), most);
    }
}

#[tokio::test]
async fn a_question_that_leaves_no_room_is_refused_with_both_numbers() {
    let mut chat = Chat::with(&[("MAX_CONTEXT_TOKENS", "800"), ("MAX_RESPONSE_TOKENS", "16")]).await;
    let question = "\u{1f980}".repeat(600);
    let length = TokenCounter::new(Tokenizer::Cl100kBase).count(&question);
    chat.visitor.start().await;
    chat.visitor.ask(&question).await;
    let error = chat.visitor.hear_error("MESSAGE_TOO_LONG").await;
    let message = error["message"].as_str().unwrap_or_default();
    let numbers: Vec<u32> =
        message.split(|it: char| !it.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
    assert!(numbers.len() == 2 && numbers[0] == length && numbers[1] < length, "{message}");
    assert!(chat.upstream.requests().is_empty());
    assert_eq!(chat.visitor.ask_and_hear("Short?").await.status(), "complete");
}

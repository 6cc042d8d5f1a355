//! Tests of whole responses: bytes in, text and end out.

use std::cell::RefCell;
use std::path::Path;

use proptest::prelude::*;

use crate::domain::turn::TurnStatus;
use crate::llm::prompt::Prompt;
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::streaming::framing::{FrameDecoder, FramingError};
use crate::llm::upstream::streaming::response::{BodyEnd, ResponseState};
use crate::llm::upstream::streaming::sink::AnswerSink;

/// Keeps the text of a response.
#[derive(Default)]
struct Text(RefCell<String>);

impl AnswerSink for Text {
    fn set_upstream_id(&self, _: &str) {}

    fn append(&self, text: &str) -> bool {
        self.0.borrow_mut().push_str(text);
        true
    }

    fn on_first_text(&self) {}

    fn on_thinking(&self, _: usize) {}

    fn take_back(&self) {
        self.0.borrow_mut().clear();
    }

    fn on_reconnect(&self, _: &str) {}

    fn on_lesson(&self, _: &str) {}
}

fn prompt() -> Prompt {
    Prompt { messages: Vec::new(), question: "?".into(), tokens: 100, max_response_tokens: 100 }
}

/// Reads a response in pieces. Returns its text and how it ended.
fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    end: BodyEnd,
) -> Result<(String, Result<Completion, CompletionError>), FramingError> {
    let (text, prompt) = (Text::default(), prompt());
    let mut state = ResponseState::new(&prompt, false);
    let mut decoder = FrameDecoder::default();
    for piece in pieces {
        decoder.feed(piece, |frame| state.on_frame(frame, &text))?;
    }
    decoder.finish(|frame| state.on_frame(frame, &text))?;
    state.finish_text(&text);
    Ok((text.0.into_inner(), state.into_completion(end, &prompt)))
}

fn status(stream: &str, end: BodyEnd) -> Result<TurnStatus, UpstreamErrorKind> {
    let (_, ended) = read([stream.as_bytes()], end).unwrap();
    ended.map(|completion| completion.status).map_err(|error| error.kind)
}

/// Returns an event with text and a finish reason, both JSON.
fn event(content: &str, reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{content}}},\"finish_reason\":{reason}}}]}}\n\n")
}

const DONE: &str = "data: [DONE]\n\n";

#[test]
fn only_a_known_good_end_is_complete() {
    use BodyEnd::{CutOff, Ended};
    use UpstreamErrorKind as Kind;
    let word = || event("\"a\"", "null");
    let stop = || event("\"\"", "\"stop\"");
    for (stream, end, expected) in [
        (word() + &stop(), Ended, Ok(TurnStatus::Complete)),
        (word() + &stop(), CutOff, Ok(TurnStatus::Complete)),
        (word() + DONE, Ended, Ok(TurnStatus::Complete)),
        (word(), Ended, Err(Kind::Interrupted)),
        (word() + &event("\"b\"", "\"stop\""), CutOff, Ok(TurnStatus::Complete)),
        // A reason on every chunk proves nothing before the body ends.
        (event("\"a\"", "\"stop\""), CutOff, Err(Kind::Interrupted)),
        (event("\"a\"", "\"stop\""), Ended, Ok(TurnStatus::Complete)),
        (event("\"a\"", "\"stop\"") + &event("\"b\"", "\"stop\""), CutOff, Err(Kind::Interrupted)),
        (event("\"a\"", "\"stop\"") + &event("\"b\"", "\"stop\""), Ended, Ok(TurnStatus::Complete)),
        (word() + &stop() + &event("\"b\"", "\"length\"") + DONE, Ended, Ok(TurnStatus::Length)),
        (event("\"a\"", "\"\"") + &event("\"b\"", "\"null\""), Ended, Err(Kind::Interrupted)),
        (word() + &event("\"\"", "\"weird\""), Ended, Err(Kind::Interrupted)),
        (word() + &event("\"\"", "\"weird\"") + DONE, Ended, Ok(TurnStatus::Complete)),
        (word() + &event("\"\"", "\"network_error\"") + DONE, Ended, Err(Kind::ServerError)),
        (word() + &event("\"\"", "\"SAFETY\"") + DONE, Ended, Err(Kind::ContentFiltered)),
        (event("\"\"", "\"length\"") + DONE, Ended, Err(Kind::AnswerLimitUsed)),
        (stop() + DONE, Ended, Err(Kind::EmptyAnswer)),
        (word() + "data: {\"error\":{\"code\":503}}\n\n" + &stop() + DONE, Ended, Err(Kind::Overloaded)),
        (word() + &stop() + "data: {\"error\":\"late\"}\n\n" + DONE, Ended, Err(Kind::ServerError)),
        // A message that cannot be read may have had words.
        (
            word() + "data: {\"choices\":[{\"delta\":{\"content\":\"b\n\n" + &stop(),
            Ended,
            Err(Kind::Interrupted),
        ),
        (word() + "data: {\"id\":\n\n" + &stop(), Ended, Ok(TurnStatus::Complete)),
        ("{\"choices\":[{\"message\":{\"content\":\"a\"}}]}".to_owned(), Ended, Ok(TurnStatus::Complete)),
    ] {
        assert_eq!(status(&stream, end), expected, "{stream} {end:?}");
    }
}

#[test]
fn envelopes_of_gateways_are_opened() {
    let chunk = |text: &str, reason: &str| {
        format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{reason}}}]}}")
    };
    let twice = |json: String| format!("data: {}\n\n", serde_json::Value::String(json));
    let wrapped = |json: String| format!("data: {{\"code\":0,\"msg\":\"ok\",\"data\":{json}}}\n\n");
    let envelopes: [&dyn Fn(String) -> String; 2] = [&twice, &wrapped];
    for envelope in envelopes {
        let stream = envelope(chunk("a", "null")) + &envelope(chunk("b", "\"stop\"")) + DONE;
        let (text, ended) = read([stream.as_bytes()], BodyEnd::Ended).unwrap();
        assert_eq!((text.as_str(), ended.unwrap().status), ("ab", TurnStatus::Complete), "{stream}");
    }
}

#[test]
fn thinking_is_no_text_and_its_end_may_be_all_that_is_marked() {
    let read = |stream: String| read([stream.as_bytes()], BodyEnd::Ended).unwrap().0;
    let end = event("\"\"", "\"stop\"") + DONE;
    assert_eq!(read(event("\"<think>Hm.</think>\\n\\nYes.\"", "null") + &end), "Yes.");
    assert_eq!(read(event("\"Hm.</th\"", "null") + &event("\"ink>Yes.\"", "null") + &end), "Yes.");
    let parts = "[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"Hm.\"}]},{\"type\":\"text\",\"text\":\"Yes.\"}]";
    assert_eq!(read(event(parts, "null") + &end), "Yes.");
}

#[test]
fn character_in_two_halves_is_joined_and_a_lone_half_replaced() {
    let read = |stream: String| read([stream.as_bytes()], BodyEnd::Ended).unwrap().0;
    let end = event("\"\"", "\"stop\"") + DONE;
    assert_eq!(read(event("\"a\\ud83d\"", "null") + &event("\"\\ude00b\"", "null") + &end), "a😀b");
    assert_eq!(read(event("\"a\\ud83d\"", "null") + &event("\"b\"", "null") + &end), "a\u{fffd}b");
    assert_eq!(read(event("\"a\\ud83d\"", "null") + &end), "a\u{fffd}");
}

/// A value that servers do not send in the field it is planted in.
fn odd_value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "NaN",
        "-Infinity",
        "1e999",
        "-1",
        "0",
        "2.5",
        "99999999999999999999",
        "\"\"",
        "\"text\"",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "[[[1]]]",
        "{\"a\":{\"b\":[null]}}",
        "\"\\ud83d\"",
        "\"\\u0000\"",
        "undefined",
        "None",
    ])
    .prop_map(str::to_owned)
}

/// A field other than the text, with an odd value, at the top, in the choice, or in the delta.
fn odd_field() -> impl Strategy<Value = (usize, String)> {
    let top = vec![
        "usage",
        "model",
        "id",
        "created",
        "object",
        "system_fingerprint",
        "service_tier",
        "x_groq",
        "timings",
        "citations",
    ];
    let choice =
        vec!["logprobs", "content_filter_results", "native_finish_reason", "stop_reason", "token_ids"];
    let delta = vec!["role", "tool_calls", "function_call", "annotations", "audio"];
    let usage = vec!["prompt_tokens", "completion_tokens", "total_tokens", "cost", "prompt_tokens_details"];
    prop_oneof![
        (prop::sample::select(top), odd_value()).prop_map(|(key, value)| (0, format!("\"{key}\":{value},"))),
        (prop::sample::select(usage), odd_value())
            .prop_map(|(key, value)| (0, format!("\"usage\":{{\"{key}\":{value}}},"))),
        (prop::sample::select(choice), odd_value())
            .prop_map(|(key, value)| (1, format!("\"{key}\":{value},"))),
        (prop::sample::select(delta), odd_value())
            .prop_map(|(key, value)| (2, format!("\"{key}\":{value},"))),
    ]
}

/// Returns an event with text and planted fields.
fn event_with(text: &str, planted: &[(usize, String)]) -> String {
    let at = |place| {
        planted.iter().filter(|(at, _)| *at == place).map(|(_, field)| field.as_str()).collect::<String>()
    };
    let content = serde_json::to_string(text).unwrap();
    format!("data: {{{}\"choices\":[{{{}\"delta\":{{{}\"content\":{content}}}}}]}}\n\n", at(0), at(1), at(2))
}

/// Returns the bodies of the corpus of model servers.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upstream");
    let mut bodies = Vec::new();
    for server in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(server.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            bodies.extend(
                text.split("'''").skip(1).step_by(2).map(|body| body.trim_start_matches('\n').into()),
            );
        }
    }
    assert!(bodies.len() >= 100, "the corpus has {} bodies", bodies.len());
    bodies
}

proptest! {
    #[test]
    fn odd_values_beside_the_text_cost_no_text(
        chunks in prop::collection::vec(("[a-z é😀]{1,6}", prop::collection::vec(odd_field(), 0..4)), 1..6),
        cut in 1_usize..64,
    ) {
        let mut stream: String = chunks.iter().map(|(text, planted)| event_with(text, planted)).collect();
        stream.push_str(&event("\"\"", "\"stop\""));
        stream.push_str(DONE);
        let words: String = chunks.iter().map(|(text, _)| text.as_str()).collect();
        let (text, ended) = read(stream.as_bytes().chunks(cut), BodyEnd::Ended).unwrap();
        prop_assert_eq!(text, words.clone());
        if !words.trim().is_empty() {
            prop_assert_eq!(ended.unwrap().status, TurnStatus::Complete);
        }
    }
}

/// The number of mutated responses. `PROPTEST_CASES` raises it for longer runs.
const MUTATIONS: u32 = 512;

proptest! {
    #![proptest_config(ProptestConfig { cases: MUTATIONS.max(ProptestConfig::default().cases), ..ProptestConfig::default() })]

    /// Real responses with bytes removed, doubled or replaced: nothing panics, and the pieces in
    /// which they arrive change nothing.
    #[test]
    fn mutated_responses_end_the_same_way_however_they_are_split(
        seed in any::<prop::sample::Index>(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..6),
        cut in 1_usize..40,
    ) {
        thread_local! {
            static CORPUS: Vec<Vec<u8>> = corpus();
        }
        let mut body = CORPUS.with(|corpus| seed.get(corpus).clone());
        for (at, kind, byte) in mutations {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match kind {
                0 => body.truncate(at),
                1 => { body.remove(at); }
                2 => body.insert(at, byte),
                _ => {
                    let end = body.len().min(at + usize::from(byte));
                    let copy = body[at..end].to_vec();
                    body.splice(at..at, copy);
                }
            }
        }
        let summary = |read: Result<(String, Result<Completion, CompletionError>), FramingError>| {
            read.map(|(text, ended)| (text, ended.map(|done| done.status).map_err(|error| error.kind)))
        };
        let whole = summary(read([body.as_slice()], BodyEnd::Ended));
        let pieces = summary(read(body.chunks(cut), BodyEnd::Ended));
        prop_assert_eq!(pieces, whole);
    }
}

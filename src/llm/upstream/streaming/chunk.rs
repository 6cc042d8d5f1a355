//! The fields of one message of a streamed response, read one by one. An odd field costs that
//! field, never the words beside it.

use crate::llm::upstream::error_body::UpstreamError;
use crate::llm::upstream::json::Json;
use crate::llm::upstream::streaming::finish_reason;
use crate::telemetry::metrics::IgnoredField;

/// The fields of a message that hold thinking, as OpenRouter, DeepSeek, vLLM, Ollama and gateways
/// in front of Anthropic name them. Several may hold the same thinking.
const THINKING_FIELDS: [&str; 6] =
    ["reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks", "reasoning_text"];

/// The types of the parts of a list that are thinking.
const THINKING_TYPES: [&str; 4] = ["thinking", "reasoning", "reasoning_text", "redacted_thinking"];

/// What one message says.
#[derive(Debug, Default)]
pub(crate) struct Chunk<'a> {
    /// The next text of the answer.
    pub(crate) text: String,
    /// Whether the text is that of a whole message rather than of a delta. A server may repeat the
    /// answer in it.
    pub(crate) is_whole_message: bool,
    /// The bytes of thinking.
    pub(crate) thinking_bytes: usize,
    /// Whether the model refuses to answer.
    pub(crate) is_refusal: bool,
    pub(crate) finish_reason: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) error: Option<UpstreamError>,
    /// The choice that is ours.
    pub(crate) choice: Option<&'a Json>,
}

impl<'a> Chunk<'a> {
    /// Reads a message. Calls `ignore` for each field that is odd.
    pub(crate) fn read(message: &'a Json, mut ignore: impl FnMut(IgnoredField)) -> Self {
        let choice = our_choice(message, &mut ignore);
        let mut chunk = Self { choice, error: UpstreamError::find(message, choice), ..Self::default() };
        chunk.finish_reason = finish_reason::of_choice(message, choice).unwrap_or_else(|()| {
            ignore(IgnoredField::FinishReason);
            None
        });
        if let Some(model) = message.get("model").filter(|model| **model != Json::Null) {
            chunk.model = model.as_str();
            if chunk.model.is_none() {
                ignore(IgnoredField::Model);
            }
        }
        chunk.read_content(message, choice, &mut ignore);
        chunk
    }

    fn read_content(
        &mut self,
        message: &'a Json,
        choice: Option<&'a Json>,
        ignore: &mut impl FnMut(IgnoredField),
    ) {
        let part = |name| choice.and_then(|choice| choice.get(name)).filter(|value| **value != Json::Null);
        if let Some(delta) = part("delta") {
            match delta {
                Json::Object(_) => self.read_message(delta, ignore),
                content => self.add_content(content, ignore),
            }
            if !delta.is_empty() {
                return;
            }
        }
        // Without a choice, the format of Ollama.
        let whole = part("message").or_else(|| choice.is_none().then(|| message.get("message")).flatten());
        match (whole, part("text")) {
            (Some(whole @ Json::Object(_)), _) => {
                self.is_whole_message = choice.is_some();
                self.read_message(whole, ignore);
            }
            (_, Some(text)) => self.add_content(text, ignore),
            _ => {}
        }
    }

    /// Reads a delta or a whole message.
    fn read_message(&mut self, message: &Json, ignore: &mut impl FnMut(IgnoredField)) {
        if let Some(content) = message.get("content").or_else(|| message.get("text")) {
            self.add_content(content, ignore);
        }
        self.is_refusal = message.text("refusal").is_some();
        let fields = THINKING_FIELDS.iter().filter_map(|name| message.get(name));
        self.thinking_bytes += fields.map(text_bytes).max().unwrap_or_default();
    }

    fn add_content(&mut self, content: &Json, ignore: &mut impl FnMut(IgnoredField)) {
        match content {
            Json::Null => {}
            // Some servers send a token that looks like a number as one.
            Json::Text(text) | Json::Number(text) => self.text.push_str(text),
            Json::List(parts) => parts.iter().for_each(|part| self.add_part(part, ignore)),
            part @ Json::Object(fields) if !fields.is_empty() => self.add_part(part, ignore),
            _ => ignore(IgnoredField::Content),
        }
    }

    /// Adds one part of a content that has parts.
    fn add_part(&mut self, part: &Json, ignore: &mut impl FnMut(IgnoredField)) {
        if let Json::Text(text) = part {
            self.text.push_str(text);
            return;
        }
        let kind = part.text("type");
        if kind.is_some_and(|kind| THINKING_TYPES.contains(&kind)) {
            self.thinking_bytes += text_bytes(part);
            return;
        }
        let is_text = kind.is_none_or(|kind| kind.contains("text"));
        // The text itself, or an object with it.
        let text = part.get("text").map(|text| text.get("value").unwrap_or(text));
        match (text, is_text) {
            (Some(Json::Text(text)), true) => self.text.push_str(text),
            // References, images and the like are no words.
            (None, false) => {}
            _ => ignore(IgnoredField::Content),
        }
    }
}

/// Returns the choice that is ours: the one with index 0, or the first without an index.
fn our_choice<'a>(message: &'a Json, ignore: &mut impl FnMut(IgnoredField)) -> Option<&'a Json> {
    let is_ours = |choice: &&Json| {
        let index = choice.get("index").and_then(Json::as_number);
        choice.is_object() && index.is_none_or(|index| index <= 0.0 || index.fract() != 0.0)
    };
    // A key that occurs twice must not hide the words.
    let choices = message.find("choices", |choices| match choices {
        Json::List(list) => list.iter().find(is_ours).map(|ours| (ours, list.len())),
        choice @ Json::Object(_) => Some((choice, 1)),
        _ => None,
    });
    match (choices, message.get("choices")) {
        (Some((ours, count)), _) => {
            if count > 1 {
                ignore(IgnoredField::Choice);
            }
            Some(ours)
        }
        (None, Some(choices)) if !choices.is_empty() => {
            ignore(IgnoredField::Choice);
            None
        }
        (None, _) => None,
    }
}

/// Returns the bytes of all texts in a value, without names and ids.
fn text_bytes(value: &Json) -> usize {
    match value {
        Json::Text(text) => text.len(),
        Json::List(values) => values.iter().map(text_bytes).sum(),
        Json::Object(fields) => {
            let is_text = |key: &str| !["type", "id", "format", "signature", "index"].contains(&key);
            fields.iter().filter(|(key, _)| is_text(key)).map(|(_, value)| text_bytes(value)).sum()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_chunk<T>(json: &str, read: impl FnOnce(Chunk<'_>, usize) -> T) -> T {
        let values = Json::read_all(json);
        let mut ignored = 0;
        let chunk = Chunk::read(&values.values[0], |_| ignored += 1);
        read(chunk, ignored)
    }

    #[test]
    fn text_is_read_in_every_form() {
        for (json, text, thinking_bytes, ignored) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":"a"}}]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":{"content":null,"reasoning":"hm"},"finish_reason":null}]}"#, "", 2, 0),
            (
                r#"{"choices":[{"delta":{"content":"a","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}}]}"#,
                "a",
                2,
                0,
            ),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"},"b"]}}]}"#,
                "ab",
                2,
                0,
            ),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"reference","reference_ids":[1]},{"type":"text","text":"a"}]}}]}"#,
                "a",
                0,
                0,
            ),
            (r#"{"choices":[{"delta":{"content":{"type":"text","text":"a"}}}]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":"a"}]}"#, "a", 0, 0),
            (r#"{"choices":[{"text":"a"}]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":null,"text":"a"}]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":{},"text":"a"}]}"#, "a", 0, 0),
            (r#"{"choices":[{"message":{"role":"assistant","content":"a"}}]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"so far a"}}]}"#, "a", 0, 0),
            (r#"{"message":{"role":"assistant","content":"a"},"done":false}"#, "a", 0, 0),
            (r#"{"choices":{"delta":{"content":"a"}}}"#, "a", 0, 0),
            (
                r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
                "a",
                0,
                1,
            ),
            (r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#, "", 0, 1),
            (r#"{"choices":[{"index":"0","delta":{"content":"a"}}]}"#, "a", 0, 0),
            (r#"{"choices":[{"index":null,"delta":{"content":"a"}}],"choices":[]}"#, "a", 0, 0),
            (r#"{"choices":[{"delta":{"content":2019}}]}"#, "2019", 0, 0),
            (r#"{"choices":[{"delta":{"content":{"a":1}}}]}"#, "", 0, 1),
            (r#"{"choices":null}"#, "", 0, 0),
            (r#"{"choices":[]}"#, "", 0, 0),
            (r#"{"choices":"none"}"#, "", 0, 1),
            (r#"{"openrouter_metadata":{"x":1}}"#, "", 0, 0),
        ] {
            with_chunk(json, |chunk, found| {
                assert_eq!(
                    (chunk.text.as_str(), chunk.thinking_bytes, found),
                    (text, thinking_bytes, ignored),
                    "{json}"
                );
            });
        }
    }

    #[test]
    fn odd_model_and_finish_reason_cost_only_themselves() {
        let json = r#"{"model":7,"choices":[{"delta":{"content":"a"},"finish_reason":3}]}"#;
        with_chunk(json, |chunk, ignored| {
            assert_eq!(
                (chunk.text.as_str(), chunk.model, chunk.finish_reason, ignored),
                ("a", None, None, 2)
            );
        });
    }
}

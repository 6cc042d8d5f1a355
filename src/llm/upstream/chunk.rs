//! The JSON of a streamed chat completion, as far as it is used: unknown fields and unknown chunks are tolerated.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// One data message of the stream.
#[derive(Debug, Default, Deserialize)]
pub struct Chunk {
    /// The model that answers; with fallbacks it may not be the one that was asked.
    #[serde(default)]
    pub model: Option<String>,
    /// The answer's next piece. Absent, null or empty in chunks that carry something else.
    #[serde(default)]
    pub choices: Option<Vec<Choice>>,
    /// What it took; in one of the last chunks, if at all.
    #[serde(default)]
    pub usage: Option<ChunkUsage>,
    /// The stream failed.
    #[serde(default)]
    pub error: Option<UpstreamError>,
}

/// The piece of one choice; there is only ever the first.
#[derive(Debug, Default, Deserialize)]
pub struct Choice {
    /// What is new.
    #[serde(default)]
    pub delta: Option<Delta>,
    /// Why the answer ended, once it has.
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// What is new.
#[derive(Debug, Default, Deserialize)]
pub struct Delta {
    /// Text of the answer.
    #[serde(default)]
    pub content: Option<String>,
    /// Thinking that is not shown, but shows that the model is at work.
    #[serde(default)]
    pub reasoning: Option<Value>,
    /// The same, as vLLM and DeepSeek call it.
    #[serde(default)]
    pub reasoning_content: Option<Value>,
}

impl Delta {
    /// Whether the model thinks aloud.
    #[must_use]
    pub fn is_thinking(&self) -> bool {
        [&self.reasoning, &self.reasoning_content]
            .iter()
            .any(|it| it.as_ref().is_some_and(|it| !it.is_null()))
    }
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
pub struct ChunkUsage {
    /// Tokens of the prompt, by the model's count.
    #[serde(default)]
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: Option<u32>,
    /// US dollars.
    #[serde(default)]
    pub cost: Option<f64>,
}

/// What an upstream says of a failure, in the body of a refusal or within a stream. Whatever shape it has, it is one:
/// some servers send a text alone.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub struct UpstreamError {
    /// A number or a name.
    pub code: Option<Value>,
    /// For the operator; never shown to visitors.
    pub message: Option<String>,
    /// `metadata.error_type`: OpenRouter's own name for it.
    pub error_type: Option<String>,
    /// `type`: what OpenAI and its followers call it.
    pub kind: Option<String>,
    /// `metadata` says why the content was refused.
    pub is_flagged: bool,
    /// `availability.retryable`: whether asking again helps.
    pub retryable: Option<bool>,
    /// `availability.retry_after`, in seconds.
    retry_after: Option<f64>,
}

/// The body of a refusal: most servers put what went wrong under `error`, some say it right there (older versions of
/// vLLM) or under `detail` (whatever is made with FastAPI).
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub struct ErrorBody {
    /// The failure.
    pub error: UpstreamError,
    /// It was under `error`, so that it is one whatever the status.
    pub is_explicit: bool,
}

impl From<Value> for ErrorBody {
    fn from(body: Value) -> Self {
        let Value::Object(mut fields) = body else {
            return Self { error: body.into(), is_explicit: false };
        };
        if let Some(error) = fields.remove("error").filter(|error| !error.is_null()) {
            return Self { error: error.into(), is_explicit: true };
        }
        if let Some(detail) = fields.remove("detail") {
            let text = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
            fields.insert("message".to_owned(), text.into());
        }
        Self { error: Value::Object(fields).into(), is_explicit: false }
    }
}

impl Chunk {
    /// The first choice.
    #[must_use]
    pub fn choice(&self) -> Option<&Choice> {
        self.choices.as_ref()?.first()
    }
}

impl From<Value> for UpstreamError {
    fn from(error: Value) -> Self {
        match error {
            Value::Object(mut fields) => {
                let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
                let metadata = fields.get("metadata");
                let of_metadata = |name: &str| metadata.and_then(|it| it.get(name));
                let availability = fields.get("availability").or_else(|| of_metadata("availability"));
                let available = |name: &str| availability.and_then(|it| it.get(name));
                Self {
                    message: text(fields.get("message")),
                    error_type: text(of_metadata("error_type")),
                    kind: text(fields.get("type")),
                    is_flagged: ["reasons", "flagged_input"].iter().any(|name| of_metadata(name).is_some()),
                    retryable: available("retryable").and_then(Value::as_bool),
                    retry_after: available("retry_after").and_then(Value::as_f64),
                    code: fields.remove("code").filter(|code| !code.is_null()),
                }
            }
            Value::String(message) => Self { message: Some(message), ..Self::default() },
            other => Self { message: Some(other.to_string()), ..Self::default() },
        }
    }
}

impl UpstreamError {
    /// The code as an HTTP status, when it is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.code.as_ref()? {
            Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
            Value::String(name) => name.parse().ok(),
            _ => None,
        }
    }

    /// Every name it gives itself, the most exact first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let code = self.code.as_ref().and_then(Value::as_str);
        [self.error_type.as_deref(), code, self.kind.as_deref()].into_iter().flatten()
    }

    /// How long the server wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.retry_after?).ok()
    }

    /// What the operator should read: code and message, cut to a sane length.
    #[must_use]
    pub fn describe(&self) -> String {
        let code = self.code.as_ref().map(|code| format!("code {code}: ")).unwrap_or_default();
        let message: String = self.message.as_deref().unwrap_or("no message").chars().take(300).collect();
        format!("{code}{message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_a_chunk_comes_in_is_read() {
        for (json, content) in [
            (r#"{"id":"gen-1","choices":[{"delta":{"role":"assistant","content":"a"}}]}"#, Some("a")),
            (r#"{"choices":[{"delta":{"content":null,"reasoning":"hm"},"finish_reason":null}]}"#, None),
            (r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"cost":0.1}}"#, None),
            (r#"{"choices":null}"#, None),
            (r#"{"openrouter_metadata":{"x":1}}"#, None),
            (r#"{"choices":[{"finish_reason":"stop"}]}"#, None),
        ] {
            let chunk: Chunk = serde_json::from_str(json).unwrap();
            let found = chunk.choice().and_then(|choice| choice.delta.as_ref()?.content.as_deref());
            assert_eq!(found, content, "{json}");
        }
    }

    #[test]
    fn the_explanation_of_a_refusal_is_found_wherever_it_stands() {
        for (json, message, is_explicit) in [
            (r#"{"error":{"message":"m","code":400}}"#, Some("m"), true),
            (r#"{"error":"m"}"#, Some("m"), true),
            (r#"{"object":"error","message":"m","code":400}"#, Some("m"), false),
            (r#"{"detail":"m"}"#, Some("m"), false),
            (r#"{"detail":["m"]}"#, Some(r#"["m"]"#), false),
            (r#"{"error":null,"choices":[]}"#, None, false),
            (r#""m""#, Some("m"), false),
        ] {
            let body: ErrorBody = serde_json::from_str(json).unwrap();
            assert_eq!((body.error.message.as_deref(), body.is_explicit), (message, is_explicit), "{json}");
        }
    }

    #[test]
    fn an_error_code_may_be_a_number_or_a_name() {
        for (json, status) in [
            (r#"{"code":429,"message":"m"}"#, Some(429)),
            (r#"{"code":"502"}"#, Some(502)),
            (r#"{"code":"server_error"}"#, None),
            (r#""model not loaded""#, None),
            ("{}", None),
        ] {
            let error: UpstreamError = serde_json::from_str(json).unwrap();
            assert_eq!(error.status(), status, "{json}");
        }
    }
}

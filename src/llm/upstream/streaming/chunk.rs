//! The JSON of a streamed chat completion and of error bodies, limited to the fields in use.
//! Unknown fields and unknown chunks are ignored.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// One data message of the stream.
#[derive(Debug, Default, Deserialize)]
pub struct Chunk {
    /// The model that answers; with fallbacks it may differ from the requested one.
    #[serde(default)]
    pub model: Option<String>,
    /// The next text of the answer. Absent, null or empty in chunks that carry something else.
    #[serde(default)]
    pub choices: Option<Vec<ChunkChoice>>,
    /// The usage of the answer; in one of the last chunks, if at all.
    #[serde(default)]
    pub usage: Option<ChunkUsage>,
    /// Set if the stream failed.
    #[serde(default)]
    pub error: Option<UpstreamError>,
}

/// A part of one choice. Requests ask for a single choice.
#[derive(Debug, Default, Deserialize)]
pub struct ChunkChoice {
    #[serde(default)]
    pub delta: Option<ChunkDelta>,
    /// Why the answer ended; `None` while it has not.
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// The new part of an answer.
#[derive(Debug, Default, Deserialize)]
pub struct ChunkDelta {
    #[serde(default)]
    pub content: Option<String>,
    /// Reasoning. It is not shown to visitors, but proves that the model is working.
    #[serde(default)]
    pub reasoning: Option<Value>,
    /// Reasoning, as vLLM and DeepSeek name the field.
    #[serde(default)]
    pub reasoning_content: Option<Value>,
}

impl ChunkDelta {
    /// Returns whether the delta contains reasoning.
    #[must_use]
    pub fn has_reasoning(&self) -> bool {
        let fields = [&self.reasoning, &self.reasoning_content];
        fields.iter().any(|field| field.as_ref().is_some_and(|value| !value.is_null()))
    }
}

/// The usage of an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
pub struct ChunkUsage {
    /// Tokens of the prompt, by the model's count.
    #[serde(default)]
    pub prompt_tokens: Option<u32>,
    #[serde(default)]
    pub completion_tokens: Option<u32>,
    /// The cost in US dollars.
    #[serde(default)]
    pub cost: Option<f64>,
}

/// An error object, in the body of an error response or within a stream. It is read from any JSON
/// value, because some servers send a plain string.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub struct UpstreamError {
    /// A status code or a name.
    pub code: Option<Value>,
    /// An explanation for the operator; never shown to visitors.
    pub message: Option<String>,
    /// `metadata.error_type`: the name that OpenRouter gives the error.
    pub error_type: Option<String>,
    /// `type`: the name that OpenAI and compatible servers give the error.
    pub kind: Option<String>,
    /// Whether `metadata` names reasons why the content was refused.
    pub is_flagged: bool,
    /// `availability.retryable`: whether a retry helps.
    pub retryable: Option<bool>,
    /// `availability.retry_after`, in seconds.
    retry_after: Option<f64>,
}

/// The body of an error response. Most servers put the error object under `error`; older versions
/// of vLLM put its fields at the top level, and servers based on FastAPI put a message under
/// `detail`.
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub struct ErrorBody {
    pub error: UpstreamError,
    /// Whether the error was under `error`. Such a body is an error even with a successful status.
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
    /// Returns the first choice.
    #[must_use]
    pub fn choice(&self) -> Option<&ChunkChoice> {
        self.choices.as_ref()?.first()
    }
}

impl From<Value> for UpstreamError {
    fn from(error: Value) -> Self {
        match error {
            Value::Object(mut fields) => {
                let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
                let metadata = fields.get("metadata");
                let metadata_field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
                let availability = fields.get("availability").or_else(|| metadata_field("availability"));
                let availability_field =
                    |name: &str| availability.and_then(|availability| availability.get(name));
                Self {
                    message: text(fields.get("message")),
                    error_type: text(metadata_field("error_type")),
                    kind: text(fields.get("type")),
                    is_flagged: ["reasons", "flagged_input"]
                        .iter()
                        .any(|name| metadata_field(name).is_some()),
                    retryable: availability_field("retryable").and_then(Value::as_bool),
                    retry_after: availability_field("retry_after").and_then(Value::as_f64),
                    code: fields.remove("code").filter(|code| !code.is_null()),
                }
            }
            Value::String(message) => Self { message: Some(message), ..Self::default() },
            other => Self { message: Some(other.to_string()), ..Self::default() },
        }
    }
}

impl UpstreamError {
    /// Returns the code as an HTTP status, if it is a number.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.code.as_ref()? {
            Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
            Value::String(name) => name.parse().ok(),
            _ => None,
        }
    }

    /// Returns the names of the error, the most specific first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let code = self.code.as_ref().and_then(Value::as_str);
        [self.error_type.as_deref(), code, self.kind.as_deref()].into_iter().flatten()
    }

    /// Returns how long the server asks clients to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.retry_after?).ok()
    }

    /// Describes the error for the operator: code and message, truncated.
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
    fn chunks_of_every_format_are_read() {
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
    fn error_message_is_found_in_every_format() {
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
    fn error_code_may_be_a_number_or_a_name() {
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

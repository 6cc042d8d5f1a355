//! Errors as servers describe them: in the body of a rejected request or within a stream.

use std::time::Duration;

use crate::llm::upstream::json::Json;
use crate::llm::upstream::retry_after;

/// The maximum number of characters of a code, name or parameter that is kept.
const MAX_NAME_CHARS: usize = 64;

/// The maximum number of characters of an explanation that is read.
const MAX_MESSAGE_CHARS: usize = 4_000;

/// The depth to which errors within errors are read.
const MAX_NESTING: usize = 4;

/// The keys of an explanation.
const MESSAGE_KEYS: [&str; 11] = [
    "message",
    "msg",
    "error_message",
    "error_msg",
    "errorMessage",
    "detail",
    "details",
    "description",
    "status_msg",
    "reason",
    "title",
];

/// The keys of a code.
const CODE_KEYS: [&str; 7] =
    ["code", "status_code", "error_code", "errorCode", "http_code", "status", "statusCode"];

/// An error of the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamError {
    /// The code as the server sent it: a status or a name.
    pub code: Option<String>,
    /// The names of the error, the most specific first.
    names: Vec<String>,
    /// The parameter that the server objects to.
    pub param: Option<String>,
    /// An explanation for the operator; never shown to visitors.
    pub message: Option<String>,
    /// Whether it names reasons why the content was refused.
    pub is_flagged: bool,
    /// Whether a retry helps, if the server says so.
    pub retryable: Option<bool>,
    /// How long the server asks clients to wait.
    pub retry_after: Option<Duration>,
}

impl UpstreamError {
    /// Returns the error that a message of a stream or a document reports, or `None` if it reports
    /// none. `choice` is our choice in it. An empty field `error` reports no error.
    pub(crate) fn find(message: &Json, choice: Option<&Json>) -> Option<Self> {
        let places = [
            message.get("error"),
            message.get("errors"),
            message.get("error_message"),
            message.get("error_msg"),
            message.get("errorMessage"),
            message.at(&["x_groq", "error"]),
            choice.and_then(|choice| choice.get("error")),
            choice.and_then(|choice| choice.at(&["delta", "error"])),
            choice.and_then(|choice| choice.at(&["message", "error"])),
        ];
        if let Some(error) = places.into_iter().flatten().find(|error| is_error(error)) {
            let mut found = Self::read(error);
            found.add(message, MAX_NESTING);
            return Some(found);
        }
        let is_named = |key| message.text(key).is_some_and(|kind| kind.eq_ignore_ascii_case("error"));
        let has_status = |path: &[&str]| {
            message.at(path).and_then(Json::as_number).is_some_and(|status| status != 0.0 && status != 200.0)
        };
        if is_named("object") || is_named("type") || has_status(&["base_resp", "status_code"]) {
            let error = message.get("base_resp").unwrap_or(message);
            return Some(Self::read(error));
        }
        // Without a choice, an explanation is all that the message says.
        let is_chunk = ["choices", "usage", "done", "role"].iter().any(|key| message.get(key).is_some());
        let is_success = message.get("success") == Some(&Json::Bool(true))
            || message.get("code").and_then(Json::as_number).is_some_and(|code| code == 0.0 || code == 200.0);
        let explains = MESSAGE_KEYS
            .iter()
            .filter_map(|key| message.get(key))
            .any(|value| matches!(value, Json::Text(_) | Json::List(_)) && !value.is_empty());
        let has_failed = message.get("success") == Some(&Json::Bool(false)) || is_named("status");
        (!is_chunk && !is_success && (explains || has_failed)).then(|| Self::read(message))
    }

    /// Reads an error from any JSON value.
    pub(crate) fn read(error: &Json) -> Self {
        let mut found = Self::default();
        found.add(error, MAX_NESTING);
        found
    }

    /// Reads an error from a text, which may be JSON.
    pub(crate) fn from_text(text: &str) -> Self {
        match Json::read_all(text).values.first() {
            Some(value) if value.is_object() || value.as_list().is_some() => {
                Self::find(value, None).unwrap_or_else(|| Self::read(value))
            }
            _ => Self {
                message: Some(text.trim().chars().take(MAX_MESSAGE_CHARS).collect()),
                ..Self::default()
            },
        }
    }

    /// Adds what a value says and what is not known yet.
    fn add(&mut self, error: &Json, nesting: usize) {
        let Some(nesting) = nesting.checked_sub(1) else { return };
        match error {
            Json::Text(text) => self.add_text(text, nesting),
            Json::List(errors) => errors.iter().take(4).for_each(|error| self.add(error, nesting)),
            Json::Object(_) => self.add_object(error, nesting),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn add_text(&mut self, text: &str, nesting: usize) {
        // Some gateways pass the error of another server on as text.
        let inner = text.find('{').and_then(|at| text.get(at..)).map(Json::read_all);
        if let Some(inner) = inner.filter(|inner| !inner.has_unread)
            && let Some(error) = inner.values.first().filter(|value| value.get("error").is_some())
        {
            self.add(error, nesting);
        }
        if self.message.is_none() && !text.trim().is_empty() {
            self.message = Some(text.trim().chars().take(MAX_MESSAGE_CHARS).collect());
        }
    }

    fn add_object(&mut self, error: &Json, nesting: usize) {
        let code = CODE_KEYS.iter().find_map(|key| error.get(key)).and_then(|code| match code {
            Json::Number(code) | Json::Text(code) => Some(bounded(code)),
            _ => None,
        });
        self.add_name(error.at(&["metadata", "error_type"]).and_then(Json::as_str));
        for inner in ["innererror", "inner_error"] {
            self.add_name(error.at(&[inner, "code"]).and_then(Json::as_str));
        }
        for detail in error.get("details").and_then(Json::as_list).unwrap_or_default().iter().take(8) {
            self.add_name(detail.text("reason"));
            self.retry_after = self.retry_after.or_else(|| retry_after::from_json(detail.get("retryDelay")?));
        }
        self.add_name(code.as_deref().filter(|code| code.parse::<f64>().is_err()));
        for key in ["type", "error_type", "status", "name"] {
            self.add_name(error.text(key).filter(|name| !name.eq_ignore_ascii_case("error")));
        }
        self.code = self.code.take().or(code);
        self.param = self.param.take().or_else(|| parameter(error));
        for key in ["reasons", "flagged_input"] {
            self.is_flagged |= error.at(&["metadata", key]).is_some();
        }
        self.is_flagged |= error.text("error").is_some_and(|error| error.contains("SAFETY_CHECK"));
        let availability = error.get("availability").or_else(|| error.at(&["metadata", "availability"]));
        if let Some(availability) = availability {
            if let Some(Json::Bool(retryable)) = availability.get("retryable") {
                self.retryable = self.retryable.or(Some(*retryable));
            }
            self.retry_after =
                self.retry_after.or_else(|| retry_after::from_json(availability.get("retry_after")?));
        }
        self.retry_after = self.retry_after.or_else(|| retry_after::from_error(error));
        for key in ["error", "errors"] {
            if let Some(inner) = error.get(key).filter(|inner| is_error(inner)) {
                self.add(inner, nesting);
            }
        }
        for message in
            MESSAGE_KEYS.iter().filter_map(|key| error.get(key)).filter(|message| !message.is_empty())
        {
            if self.message.is_some() {
                break;
            }
            match message {
                Json::Text(_) => self.add(message, nesting),
                Json::List(_) | Json::Object(_) => {
                    self.param = self.param.take().or_else(|| parameter(message));
                    self.message = Some(texts(message).chars().take(MAX_MESSAGE_CHARS).collect());
                }
                _ => {}
            }
        }
        // OpenRouter quotes the error of its provider.
        if let Some(raw) = error.at(&["metadata", "raw"]).and_then(Json::as_str) {
            let inner = Self::from_text(raw);
            inner.names.iter().for_each(|name| self.add_name(Some(name)));
            self.param = self.param.take().or(inner.param);
            if let (Some(message), Some(inner)) = (&mut self.message, inner.message) {
                message.push_str(": ");
                message.push_str(&inner);
            }
        }
    }

    fn add_name(&mut self, name: Option<&str>) {
        if let Some(name) = name.map(bounded)
            && !name.is_empty()
            && self.names.len() < 8
            && !self.names.contains(&name)
        {
            self.names.push(name);
        }
    }

    /// Returns the code as an HTTP status, if it is a number.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let number: f64 = self.code.as_ref()?.trim().parse().ok()?;
        (100..600).find(|status| f64::from(*status) == number)
    }

    /// Returns the names of the error, the most specific first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Returns the code, the first name and the parameter, which distinguish the error from others.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let code = self.code.as_deref();
        let name = self.names().find(|name| Some(*name) != code);
        let parts: Vec<&str> = [code, name, self.param.as_deref()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// Returns whether the value of an error field is an error. Zeros, and words such as `none`, say
/// that there is none.
fn is_error(error: &Json) -> bool {
    match error {
        Json::Object(fields) => fields.iter().any(|(_, value)| is_error(value)),
        Json::List(values) => values.iter().any(is_error),
        Json::Text(text) => {
            let text = text.trim();
            !["", "0", "null", "none", "nil", "ok", "success"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word))
        }
        _ => !error.is_empty() && error.as_number() != Some(0.0),
    }
}

/// Returns the parameter that an error names, also as `loc` of a validation error: the last part
/// of the path.
fn parameter(error: &Json) -> Option<String> {
    if let Some(param) = error.text("param") {
        return Some(bounded(param));
    }
    let details = [error.get("detail"), error.get("message"), Some(error)].into_iter().flatten();
    let details = details.map(|details| details.get("detail").unwrap_or(details));
    let mut entries = details.flat_map(|details| details.as_list().unwrap_or(std::slice::from_ref(details)));
    let path = entries.find_map(|entry| entry.get("loc")?.as_list())?;
    path.iter().rev().find_map(Json::as_str).map(bounded)
}

/// Returns all texts in a value, joined.
fn texts(value: &Json) -> String {
    match value {
        Json::Text(text) => text.clone(),
        Json::List(values) => {
            values.iter().map(texts).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
        }
        // `input` of a validation error quotes the request.
        Json::Object(fields) => {
            let said = fields.iter().filter(|(key, _)| !["input", "ctx", "url"].contains(&key.as_str()));
            said.map(|(_, value)| texts(value)).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => String::new(),
    }
}

/// Returns the printable characters of a name, up to a maximum.
fn bounded(name: &str) -> String {
    name.trim().chars().filter(|character| !character.is_control()).take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str) -> Option<UpstreamError> {
        let value = Json::read_all(json).values.remove(0);
        let choice = value.get("choices").and_then(|choices| choices.as_list()?.first());
        UpstreamError::find(&value, choice)
    }

    #[test]
    fn errors_are_found_in_every_form() {
        for (json, message) in [
            (r#"{"error":{"message":"m","code":400}}"#, "m"),
            (r#"{"error":"m"}"#, "m"),
            (r#"{"error":["m"]}"#, "m"),
            (r#"{"error":"litellm: {\"error\":{\"message\":\"m\"}}"}"#, "m"),
            (r#"{"object":"error","message":"m","code":400}"#, "m"),
            (
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"m","input":"secret"}]}}"#,
                "extra_forbidden body x m",
            ),
            (r#"{"detail":"m"}"#, "m"),
            (r#"{"detail":["m"]}"#, "m"),
            (r#"{"error_message":"m"}"#, "m"),
            (r#"{"code":1211,"msg":"m"}"#, "m"),
            (r#"{"code":"InvalidParameter","message":"m","request_id":"r"}"#, "m"),
            (r#"{"message":"m"}"#, "m"),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, "m"),
            (r#"{"x_groq":{"error":"m"},"choices":[]}"#, "m"),
            (r#"{"choices":[{"error":{"message":"m"},"delta":{"content":""}}]}"#, "m"),
            (r#"{"base_resp":{"status_code":1004,"status_msg":"m"},"choices":null}"#, "m"),
            (r#"{"error":true,"message":"m"}"#, "m"),
        ] {
            let error = find(json);
            assert_eq!(
                error.as_ref().and_then(|error| error.message.as_deref()),
                Some(message),
                "{json} {error:?}"
            );
        }
    }

    #[test]
    fn fields_that_say_nothing_are_no_error() {
        for json in [
            r#"{"error":null,"choices":[]}"#,
            r#"{"error":"","choices":[]}"#,
            r#"{"error":{},"choices":[]}"#,
            r#"{"error":false,"choices":[]}"#,
            r#"{"error":{"message":null,"code":null},"choices":[]}"#,
            r#"{"error":{"message":"","code":0},"choices":[]}"#,
            r#"{"error":"None","choices":[]}"#,
            r#"{"base_resp":{"status_code":0,"status_msg":""},"choices":[]}"#,
            r#"{"openrouter_metadata":{"x":1}}"#,
            r#"{"type":"ping"}"#,
            r#"{"message":{"role":"assistant","content":"a"},"done":false}"#,
            r#"{"code":0,"message":"success"}"#,
            r#"{"choices":[{"message":{"content":"a"}}],"usage":{}}"#,
        ] {
            assert_eq!(find(json), None, "{json}");
        }
    }

    #[test]
    fn code_parameter_and_wait_are_found() {
        let error = |json: &str| UpstreamError::read(&Json::read_all(json).values[0]);
        assert_eq!(error(r#"{"code":429}"#).status(), Some(429));
        assert_eq!(error(r#"{"code":"502"}"#).status(), Some(502));
        assert_eq!(error(r#"{"code":"server_error"}"#).status(), None);
        assert_eq!(error(r#"{"code":1211}"#).status(), None);
        let openai = error(
            r#"{"message":"m","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}"#,
        );
        assert_eq!(openai.param.as_deref(), Some("max_tokens"));
        assert_eq!(
            openai.identity().as_deref(),
            Some("unsupported_parameter invalid_request_error max_tokens")
        );
        let pydantic =
            error(r#"{"detail":[{"loc":["body","stream_options"],"msg":"m","type":"extra_forbidden"}]}"#);
        assert_eq!(pydantic.param.as_deref(), Some("stream_options"));
        let gemini = error(
            r#"{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"x","retryDelay":"7s"}],"message":"m"}"#,
        );
        assert_eq!(gemini.retry_after, Some(Duration::from_secs(7)));
    }
}

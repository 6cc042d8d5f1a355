//! The state of a streamed response: whether it makes progress, and how it ended.
//!
//! Nothing but a known good end proves that an answer is whole.

use std::sync::Arc;

use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::turn::TurnStatus;
use crate::llm::prompt::Prompt;
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::llm::upstream::error_body::UpstreamError;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::json::Json;
use crate::llm::upstream::rejection;
use crate::llm::upstream::streaming::chunk::Chunk;
use crate::llm::upstream::streaming::finish_reason::FinishReason;
use crate::llm::upstream::streaming::framing::Frame;
use crate::llm::upstream::streaming::ignored::IgnoredFields;
use crate::llm::upstream::streaming::sink::AnswerSink;
use crate::llm::upstream::streaming::surrogates::join_surrogates;
use crate::llm::upstream::streaming::thinking_tags::{Separated, ThinkingTags};
use crate::llm::upstream::streaming::usage::{ExpectedUsage, UsageReader};
use crate::telemetry::metrics::IgnoredField;

/// The maximum number of characters kept of a model's name; no real name is longer.
const MAX_MODEL_CHARS: usize = 128;

/// The message to the visitor if the model used the whole length of an answer without a word.
const ANSWER_LIMIT_MESSAGE: &str = "The model thought for so long that no room was left for an answer. Please ask a simpler \
                                    question, or ask the owner of this site to allow longer answers.";

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// The server ended it.
    Ended,
    /// It was cut off: the connection failed, or nothing more arrived in time.
    CutOff,
}

/// A response that is being read.
#[derive(Debug)]
pub(crate) struct ResponseState {
    expected: ExpectedUsage,
    model: Option<Arc<str>>,
    finish: Option<FinishReason>,
    /// Text has followed a finish reason, so that reasons prove nothing in this response.
    has_text_after_finish: bool,
    /// Some text came without a finish reason.
    has_text_before_finish: bool,
    usage: UsageReader,
    error: Option<UpstreamError>,
    /// `[DONE]` has arrived, or the rest of the response is not needed.
    pub(crate) is_done: bool,
    /// `[DONE]` has arrived.
    has_end_marker: bool,
    /// The answer has reached its maximum size.
    is_full: bool,
    /// Text or thinking has arrived since the flag was cleared.
    pub(crate) has_progressed: bool,
    /// The response has text.
    pub(crate) has_text: bool,
    has_thinking: bool,
    /// The model refused to answer.
    has_refusal: bool,
    /// A message that may have had words could not be read.
    has_lost_words: bool,
    /// The response has a choice, with or without text.
    has_choices: bool,
    /// The number of whole messages, which servers send that ignore `stream`.
    whole_messages: u32,
    /// The response has text in deltas.
    has_deltas: bool,
    /// The response says that it is a document rather than a stream.
    pub(crate) is_document: bool,
    /// The first half of a character, at the end of the text so far.
    half: Option<u32>,
    tags: ThinkingTags,
    /// Whether the model closed thinking that it never opened; `None` if nothing is known.
    pub(crate) lone_closing_tag: Option<bool>,
    pub(crate) ignored: IgnoredFields,
}

impl ResponseState {
    /// Starts the response to a prompt. If `holds_back`, text is held back until the closing tag of
    /// the thinking comes.
    pub(crate) fn new(prompt: &Prompt, holds_back: bool) -> Self {
        let expected =
            ExpectedUsage { prompt_tokens: prompt.tokens, completion_tokens: prompt.max_response_tokens };
        Self {
            expected,
            model: None,
            finish: None,
            has_text_after_finish: false,
            has_text_before_finish: false,
            usage: UsageReader::default(),
            error: None,
            is_done: false,
            has_end_marker: false,
            is_full: false,
            has_progressed: false,
            has_text: false,
            has_thinking: false,
            has_refusal: false,
            has_lost_words: false,
            has_choices: false,
            whole_messages: 0,
            has_deltas: false,
            is_document: false,
            half: None,
            tags: ThinkingTags::new(holds_back),
            lone_closing_tag: None,
            ignored: IgnoredFields::default(),
        }
    }

    /// Processes one frame and appends its text to `sink`.
    pub(crate) fn on_frame<S: AnswerSink>(&mut self, frame: Frame<'_>, sink: &S) {
        if self.is_done {
            return;
        }
        match frame {
            Frame::Done => {
                self.is_done = true;
                self.has_end_marker = true;
            }
            Frame::Error(data) => {
                self.read_values(data, sink);
                // Whatever the event says, its name says that it is an error.
                self.error.get_or_insert_with(|| UpstreamError::from_text(data));
            }
            Frame::Message(data) => self.read_values(data, sink),
        }
    }

    fn read_values<S: AnswerSink>(&mut self, data: &str, sink: &S) {
        let values = Json::read_all(data);
        if values.has_duplicates {
            self.ignored.add(IgnoredField::Duplicate);
        }
        if values.has_unread || values.has_invalid {
            self.ignored.add(IgnoredField::Message);
        }
        if values.has_unread {
            self.has_lost_words |= ["\"content\"", "\"text\""].iter().any(|key| data.contains(key));
        }
        for value in &values.values {
            match value {
                Json::List(messages) => messages.iter().for_each(|message| self.on_message(message, sink)),
                // Some gateways encode a message twice.
                Json::Text(text) if text.trim_start().starts_with('{') => {
                    let inner = Json::read_all(text);
                    inner.values.iter().for_each(|message| self.on_message(message, sink));
                }
                message => self.on_message(message, sink),
            }
        }
    }

    fn on_message<S: AnswerSink>(&mut self, message: &Json, sink: &S) {
        if !message.is_object() {
            self.ignored.add(IgnoredField::Message);
            return;
        }
        let message = unwrapped(message);
        let ignored = &mut self.ignored;
        let mut chunk = Chunk::read(message, |field| ignored.add(field));
        self.usage.read(message, chunk.choice, self.expected, |field| ignored.add(field));
        self.has_refusal |= chunk.is_refusal;
        self.has_choices |= chunk.choice.is_some() || !chunk.text.is_empty();
        self.read_model(chunk.model);
        let reason = self.read_reason(chunk.finish_reason);
        // What follows an error is no part of the answer.
        if self.error.is_none() {
            // A whole message beside deltas repeats their text.
            match chunk.is_whole_message {
                true if self.has_deltas => chunk.text.clear(),
                true => self.whole_messages += u32::from(!chunk.text.is_empty()),
                false => self.has_deltas |= !chunk.text.is_empty(),
            }
            self.add_text(&chunk.text, reason.is_some(), sink);
            if chunk.thinking_bytes > 0 {
                self.add_thinking(chunk.thinking_bytes, sink);
            }
        }
        self.finish = reason.or(self.finish);
        if chunk.error.is_some() {
            self.error = self.error.take().or(chunk.error);
        }
    }

    fn read_model(&mut self, model: Option<&str>) {
        let Some(model) = model.filter(|model| self.model.is_none() && !model.trim().is_empty()) else {
            return;
        };
        // PostgreSQL cannot store NUL characters, and control characters are unreadable.
        let printable = model.trim().chars().filter(|character| !character.is_control());
        self.model = Some(printable.take(MAX_MODEL_CHARS).collect::<String>().into());
    }

    fn read_reason(&mut self, reason: Option<&str>) -> Option<FinishReason> {
        let family = FinishReason::parse(reason?)?;
        if family == FinishReason::Unknown {
            self.ignored.add_finish_reason(reason?);
        }
        Some(family)
    }

    fn add_text<S: AnswerSink>(&mut self, text: &str, has_reason: bool, sink: &S) {
        if text.is_empty() {
            return;
        }
        self.has_progressed = true;
        self.has_text_after_finish |= self.finish.is_some();
        self.has_text_before_finish |= !has_reason;
        let mut replaced = 0;
        let joined = join_surrogates(&mut self.half, text, &mut replaced);
        (0..replaced).for_each(|_| self.ignored.add(IgnoredField::Character));
        let separated = self.tags.push(joined.as_deref().unwrap_or(text));
        self.add_separated(separated, sink);
    }

    fn add_separated<S: AnswerSink>(&mut self, separated: Separated, sink: &S) {
        if separated.takes_back {
            self.lone_closing_tag = Some(true);
            sink.take_back();
            self.has_text = false;
        }
        if separated.thinking_bytes > 0 {
            self.add_thinking(separated.thinking_bytes, sink);
        }
        let text = separated.text;
        self.has_text |= !text.trim().is_empty();
        if !sink.append(&text) {
            self.is_full = true;
            self.is_done = true;
        }
    }

    fn add_thinking<S: AnswerSink>(&mut self, bytes: usize, sink: &S) {
        self.has_thinking = true;
        self.has_progressed = true;
        sink.on_thinking(bytes);
    }

    /// Appends the text that was held back, at the end of the body.
    pub(crate) fn finish_text<S: AnswerSink>(&mut self, sink: &S) {
        if self.half.take().is_some() {
            self.ignored.add(IgnoredField::Character);
            let separated = self.tags.push("\u{fffd}");
            self.add_separated(separated, sink);
        }
        let separated = self.tags.finish();
        self.add_separated(separated, sink);
        if self.tags.holds_back() {
            self.lone_closing_tag = Some(false);
        }
    }

    /// Returns whether the text is certainly whole. Usage and `[DONE]` may follow, but need not.
    ///
    /// A reason beside the only text so far may be one that the server repeats on every chunk.
    pub(crate) fn is_finished(&self) -> bool {
        !self.has_text_after_finish
            && match self.finish {
                Some(FinishReason::Stop) => self.has_text_before_finish,
                Some(FinishReason::Length | FinishReason::Refused | FinishReason::Failed) => true,
                Some(FinishReason::Unknown) | None => false,
            }
    }

    /// Returns whether the response has failed. Usage may follow.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Returns the error, if it came before any text.
    pub(crate) fn error_before_text(&self) -> Option<&UpstreamError> {
        self.error.as_ref().filter(|_| !self.has_answered())
    }

    /// Returns whether the model has begun to answer.
    pub(crate) fn has_answered(&self) -> bool {
        self.has_text || self.has_thinking
    }

    /// Returns whether the response has a choice, or an error in its place.
    pub(crate) fn has_choices(&self) -> bool {
        self.has_choices || self.error.is_some()
    }

    /// Adds what the response said about its usage to the error that ended it.
    pub(crate) fn add_to(self, error: CompletionError) -> CompletionError {
        CompletionError { usage: self.usage.report(), ignored: self.ignored, ..error }
    }

    /// Returns how the response ended.
    pub(crate) fn into_completion(
        self,
        end: BodyEnd,
        prompt: &Prompt,
    ) -> Result<Completion, CompletionError> {
        match self.ending(end, prompt) {
            Ok(status) => Ok(Completion {
                status,
                usage: self.usage.report(),
                model: self.model,
                citations: Vec::new(),
                ignored: self.ignored,
            }),
            Err(error) => Err(self.add_to(error)),
        }
    }

    fn ending(&self, end: BodyEnd, prompt: &Prompt) -> Result<TurnStatus, CompletionError> {
        if let Some(error) = &self.error {
            return Err(rejection::failed_in_stream(error, self.is_document, prompt));
        }
        if self.is_full {
            return Ok(TurnStatus::Length);
        }
        let failed = |kind, detail: &str| Err(CompletionError::new(kind, detail));
        let is_proved = self.is_finished() || self.has_end_marker || end == BodyEnd::Ended;
        match self.finish {
            Some(FinishReason::Refused) => {
                let detail = "the model server filtered the answer";
                return Err(CompletionError::new(UpstreamErrorKind::ContentFiltered, detail).after_start());
            }
            // Upstream does not charge for it.
            Some(FinishReason::Failed) => {
                return failed(UpstreamErrorKind::ServerError, "the model ended with an error");
            }
            Some(FinishReason::Length) if !self.has_text && is_proved => return Err(self.answer_limit_used()),
            Some(FinishReason::Stop) if !self.has_text && self.has_thinking && self.used_answer_limit() => {
                return Err(self.answer_limit_used());
            }
            _ => {}
        }
        if self.has_refusal && !self.has_text {
            let detail = "the model refused to answer";
            return Err(CompletionError::new(UpstreamErrorKind::ContentFiltered, detail).after_start());
        }
        if !self.has_text {
            return Err(self.without_text());
        }
        if self.has_lost_words {
            let detail = "a message of the stream that may have had words cannot be read";
            return Err(CompletionError::new(UpstreamErrorKind::Interrupted, detail).after_start());
        }
        match self.finish {
            Some(FinishReason::Length) if is_proved => Ok(TurnStatus::Length),
            Some(FinishReason::Stop) if is_proved => Ok(TurnStatus::Complete),
            _ if self.has_end_marker || self.is_whole_document(end) => Ok(TurnStatus::Complete),
            _ => {
                let detail = match self.ignored.finish_reason() {
                    Some(reason) => format!("the stream ended with the unknown finish reason {reason:?}"),
                    None => "the stream ended without saying that the answer is whole".to_owned(),
                };
                Err(CompletionError::new(UpstreamErrorKind::Interrupted, detail).after_start())
            }
        }
    }

    /// Returns whether the server ignored `stream` and sent one whole message.
    fn is_whole_document(&self, end: BodyEnd) -> bool {
        end == BodyEnd::Ended && self.whole_messages == 1 && !self.has_deltas && self.finish.is_none()
    }

    fn without_text(&self) -> CompletionError {
        let unread = self.ignored.counts().find(|(field, _)| *field == IgnoredField::Message);
        let count = unread.map_or(0, |(_, count)| count);
        let detail = format!("the stream ended without a word ({count} messages were not JSON)");
        CompletionError::new(UpstreamErrorKind::EmptyAnswer, detail).after_start()
    }

    fn used_answer_limit(&self) -> bool {
        let used = self.usage.report().completion_tokens;
        used.is_some_and(|used| used >= self.expected.completion_tokens)
    }

    fn answer_limit_used(&self) -> CompletionError {
        let detail = "the model used all of MAX_RESPONSE_TOKENS without a word of an answer, for thinking; raise \
                      MAX_RESPONSE_TOKENS, or choose a model that thinks less";
        let error = CompletionError::new(UpstreamErrorKind::AnswerLimitUsed, detail).after_start();
        let failure =
            Failure { message: Some(ANSWER_LIMIT_MESSAGE), retryable: false, ..ErrorCode::ApiError.into() };
        CompletionError { failure, ..error }
    }
}

/// Returns the message in the envelope of a gateway, or the message itself.
fn unwrapped(message: &Json) -> &Json {
    let has_choices = |message: &&Json| message.get("choices").is_some();
    let envelopes = ["data", "result", "response", "chunk"];
    match has_choices(&message) {
        true => message,
        false => envelopes.iter().filter_map(|key| message.get(key)).find(has_choices).unwrap_or(message),
    }
}

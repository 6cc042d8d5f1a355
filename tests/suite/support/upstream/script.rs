//! The answers of the fake OpenRouter: a stream of steps, and all its failures.
//!
//! Steps run in the order in which they are added. Steps added with `…_after(n)` run after the n-th
//! delta, or before the first one for 0, wherever they are in the chain. A script without words
//! echoes the question.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::upstream::gate::Gate;
use crate::support::upstream::response_stream::ConnectionState;
use crate::support::upstream::stream_step::{Response, StreamStep, UsageChunk};

/// The beginning of an echoed answer. The question follows, see [`echo`].
pub(crate) const OPENING: &str = "The resume says, in short:";

/// Returns the deltas of a script without words.
pub(crate) fn echo(question: &str) -> Vec<String> {
    format!("{OPENING} {question}").split_inclusive(' ').map(ToOwned::to_owned).collect()
}

/// One answer of the fake OpenRouter.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(super) steps: Vec<StreamStep>,
    /// Steps that run after this many deltas.
    pub(super) delayed_steps: Vec<(usize, StreamStep)>,
    /// Replaces the stream.
    pub(super) response: Option<Response>,
    pub(super) before_headers: Option<Gate>,
    /// The state of the connection after the request, without a response.
    pub(super) hang_up: Option<ConnectionState>,
    /// The pause before each delta.
    pub(super) every: Duration,
    /// The size in bytes of the pieces in which the body is written.
    pub(super) split: usize,
    pub(super) line_end: &'static str,
    pub(super) space: &'static str,
    pub(super) bom: bool,
    pub(super) role: bool,
    pub(super) done: bool,
    pub(super) done_after_error: bool,
    pub(super) debug: bool,
    pub(super) metadata: bool,
    pub(super) finish: Option<String>,
    pub(super) usage: Option<(u64, u64, Option<f64>)>,
    pub(super) usage_chunk: UsageChunk,
    pub(super) model: Option<String>,
    pub(super) generation: Option<String>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            delayed_steps: Vec::new(),
            response: None,
            before_headers: None,
            hang_up: None,
            every: Duration::ZERO,
            split: usize::MAX,
            line_end: "\n",
            space: " ",
            bom: false,
            role: true,
            done: true,
            done_after_error: false,
            debug: false,
            metadata: false,
            finish: Some("stop".to_owned()),
            usage: Some((42, 7, Some(0.000_123))),
            usage_chunk: UsageChunk::EmptyChoices,
            model: None,
            generation: None,
        }
    }
}

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident: $field:ident = $value:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(mut self) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

impl Script {
    /// Creates a script that echoes the question, with finish reason and usage.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Creates an answer with these deltas.
    pub(crate) fn from_words(words: &[&str]) -> Self {
        Self::new().words(words)
    }

    /// Creates an answer with `count` deltas: `w1 `, `w2 ` and so on.
    pub(crate) fn with_numbered_words(count: usize) -> Self {
        (1..=count).fold(Self::new(), |script, word| script.delta(json!({"content": format!("w{word} ")})))
    }

    /// Creates an error response in OpenRouter's form, `{"error": {"code", "message"}}`.
    pub(crate) fn rejection(status: u16, message: &str) -> Self {
        Self::new().http_error(status, json!({"error": {"code": status, "message": message}}), &[])
    }

    /// Creates the answer of a minimal OpenAI-compatible server: no usage, no `[DONE]`, no role.
    pub(crate) fn plain_server(words: &[&str]) -> Self {
        Self::from_words(words).no_usage().no_done().no_role().no_space_after_data()
    }

    /// Appends deltas.
    pub(crate) fn words(self, words: &[&str]) -> Self {
        words.iter().fold(self, |script, word| script.delta(json!({"content": word})))
    }

    /// Appends deltas of reasoning, which carry no content.
    pub(crate) fn reasoning(self, words: &[&str]) -> Self {
        words.iter().fold(self, |script, word| script.delta(json!({"content": null, "reasoning": word})))
    }

    /// Appends one delta.
    pub(crate) fn delta(self, delta: Value) -> Self {
        self.step(StreamStep::Delta(delta))
    }

    /// Appends raw bytes to the body.
    pub(crate) fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(StreamStep::Bytes(bytes.into()))
    }

    /// Appends `: OPENROUTER PROCESSING` comments.
    pub(crate) fn keep_alive_comments(self, count: usize) -> Self {
        (0..count).fold(self, |script, _| script.step(StreamStep::Comment))
    }

    /// Appends an event with truncated JSON.
    pub(crate) fn not_json(self) -> Self {
        self.bytes("data: {\"id\": \"gen-broken\", \"choices\": [{\n\n")
    }

    /// Waits after the n-th delta until the gate is opened.
    pub(crate) fn hold_after(self, deltas: usize, gate: &Gate) -> Self {
        self.step_after(deltas, StreamStep::Hold(gate.clone()))
    }

    /// Hangs after the n-th delta.
    pub(crate) fn hang_after(self, deltas: usize) -> Self {
        self.hold_after(deltas, &Gate::default())
    }

    /// Pauses after the n-th delta.
    pub(crate) fn pause_after(self, deltas: usize, pause: Duration) -> Self {
        self.step_after(deltas, StreamStep::Wait(pause))
    }

    /// Sends only comments, without end, after the n-th delta.
    pub(crate) fn only_comments_after(self, deltas: usize, interval: Duration) -> Self {
        self.step_after(deltas, StreamStep::EndlessComments(interval))
    }

    /// Closes the connection within the body after the n-th delta.
    pub(crate) fn drop_connection_after(self, deltas: usize) -> Self {
        self.step_after(deltas, StreamStep::Drop)
    }

    /// Resets the connection after the n-th delta.
    pub(crate) fn reset_after(self, deltas: usize) -> Self {
        self.step_after(deltas, StreamStep::Reset)
    }

    /// Ends the body after the n-th delta without finish reason, usage and `[DONE]`.
    pub(crate) fn end_after(self, deltas: usize) -> Self {
        self.step_after(deltas, StreamStep::End)
    }

    /// Appends an error event. The code may be a string or a number.
    pub(crate) fn error_in_stream(self, code: impl Into<Value>, message: &str) -> Self {
        self.step(StreamStep::Error(json!({"code": code.into(), "message": message})))
    }

    /// Sends an error event after the n-th delta.
    pub(crate) fn error_in_stream_after(self, deltas: usize, code: impl Into<Value>, message: &str) -> Self {
        self.step_after(deltas, StreamStep::Error(json!({"code": code.into(), "message": message})))
    }

    /// Responds with this status and JSON instead of a stream.
    pub(crate) fn http_error(mut self, status: u16, body: Value, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.response = Some(Response { status, headers, body: body.to_string() });
        self
    }

    /// Responds with this status and text instead of a stream.
    pub(crate) fn text(mut self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.response = Some(Response { status, headers, body: body.to_owned() });
        self
    }

    /// Closes the connection after the request, without a response.
    pub(crate) fn close_before_headers(mut self) -> Self {
        self.hang_up = Some(ConnectionState::Closed);
        self
    }

    /// Resets the connection after the request, without a response.
    pub(crate) fn reset_before_headers(mut self) -> Self {
        self.hang_up = Some(ConnectionState::Reset);
        self
    }

    /// Never responds to the request.
    pub(crate) fn hang_before_headers(self) -> Self {
        self.hold_before_headers(&Gate::default())
    }

    /// Responds only after the gate is opened.
    pub(crate) fn hold_before_headers(mut self, gate: &Gate) -> Self {
        self.before_headers = Some(gate.clone());
        self
    }

    /// Waits this long before every delta.
    pub(crate) fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// Writes the body in pieces of this many bytes.
    pub(crate) fn split(mut self, bytes: usize) -> Self {
        self.split = bytes.max(1);
        self
    }

    /// Writes the body byte by byte.
    pub(crate) fn split_at_every_byte(self) -> Self {
        self.split(1)
    }

    switches! {
        /// Ends lines with CRLF.
        crlf: line_end = "\r\n";
        /// Ends lines with a CR alone, which the format allows too.
        cr: line_end = "\r";
        /// Writes `data:{…}` without a space.
        no_space_after_data: space = "";
        /// Begins with a byte order mark.
        bom: bom = true;
        /// Leaves out the first delta, which holds the role.
        no_role: role = false;
        /// Leaves out `data: [DONE]`.
        no_done: done = false;
        /// Sends `data: [DONE]` after an error event, too.
        done_after_error: done_after_error = true;
        /// Leaves out the usage.
        no_usage: usage = None;
        /// Leaves out the finish reason.
        no_finish: finish = None;
        /// Sends a `debug` chunk first.
        debug_chunk: debug = true;
        /// Sends an `openrouter_metadata` chunk last.
        openrouter_metadata: metadata = true;
    }

    /// Sets the finish reason.
    pub(crate) fn finish(mut self, reason: &str) -> Self {
        self.finish = Some(reason.to_owned());
        self
    }

    /// Sets the usage. The cost is in dollars, or `None` as with servers other than OpenRouter.
    pub(crate) fn usage(mut self, prompt: u64, completion: u64, cost: impl Into<Option<f64>>) -> Self {
        self.usage = Some((prompt, completion, cost.into()));
        self
    }

    /// Sets the form of the usage.
    pub(crate) fn usage_chunk(mut self, chunk: UsageChunk) -> Self {
        self.usage_chunk = chunk;
        self
    }

    /// Sets the model named in the response. The default is the requested model.
    pub(crate) fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// Sets the generation id. The default is `gen-` and the number of the request.
    pub(crate) fn generation(mut self, id: &str) -> Self {
        self.generation = Some(id.to_owned());
        self
    }

    fn step(mut self, step: StreamStep) -> Self {
        self.steps.push(step);
        self
    }

    fn step_after(mut self, deltas: usize, step: StreamStep) -> Self {
        self.delayed_steps.push((deltas, step));
        self
    }
}

//! What the fake OpenRouter answers: a stream written piece by piece, and every way in which one goes wrong.
//!
//! Pieces come in the order in which they are added. What is added with `…_after(n)` comes after the n-th delta (0:
//! before the first), wherever it is written in the chain. A script without words echoes the question.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::upstream::gate::Gate;
use crate::support::upstream::stream_step::{Piece, Response, UsageChunk};

/// How the answer to a question begins when no script says otherwise; the question follows, see [`echo`].
pub(crate) const OPENING: &str = "The resume says, in short:";

/// What a script without words answers, delta by delta.
pub(crate) fn echo(question: &str) -> Vec<String> {
    format!("{OPENING} {question}").split_inclusive(' ').map(ToOwned::to_owned).collect()
}

/// One answer of the fake OpenRouter.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(super) pieces: Vec<Piece>,
    pub(super) after: Vec<(usize, Piece)>,
    /// Takes the place of the stream.
    pub(super) response: Option<Response>,
    pub(super) before_headers: Option<Gate>,
    pub(super) hang_up: bool,
    pub(super) every: Duration,
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
            pieces: Vec::new(),
            after: Vec::new(),
            response: None,
            before_headers: None,
            hang_up: false,
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
    /// An echo of the question, finished and paid as it should be.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An answer in these deltas.
    pub(crate) fn of(words: &[&str]) -> Self {
        Self::new().words(words)
    }

    /// `count` deltas `w1 `, `w2 `, ….
    pub(crate) fn of_many(count: usize) -> Self {
        (1..=count).fold(Self::new(), |script, word| script.delta(json!({"content": format!("w{word} ")})))
    }

    /// An error instead of a stream, `{"error": {"code", "message"}}`, as OpenRouter puts it.
    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        Self::new().http_error(status, json!({"error": {"code": status, "message": message}}), &[])
    }

    /// As a plain OpenAI-compatible server answers: no usage, no `[DONE]`, no role, `data:` without a space.
    pub(crate) fn plain_server(words: &[&str]) -> Self {
        Self::of(words).no_usage().no_done().no_role().no_space_after_data()
    }

    /// Appends deltas.
    pub(crate) fn words(self, words: &[&str]) -> Self {
        words.iter().fold(self, |script, word| script.delta(json!({"content": word})))
    }

    /// Appends deltas of reasoning, which carry no content.
    pub(crate) fn reasoning(self, words: &[&str]) -> Self {
        words.iter().fold(self, |script, word| script.delta(json!({"content": null, "reasoning": word})))
    }

    /// Appends one delta as it is.
    pub(crate) fn delta(self, delta: Value) -> Self {
        self.then(Piece::Delta(delta))
    }

    /// Appends bytes to the body as they are.
    pub(crate) fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Piece::Bytes(bytes.into()))
    }

    /// Appends `: OPENROUTER PROCESSING` comments.
    pub(crate) fn keep_alive_comments(self, count: usize) -> Self {
        (0..count).fold(self, |script, _| script.then(Piece::Comment))
    }

    /// Appends a data message that is cut off in the middle of its JSON.
    pub(crate) fn not_json(self) -> Self {
        self.bytes("data: {\"id\": \"gen-broken\", \"choices\": [{\n\n")
    }

    /// Stands still after the n-th delta until the gate is opened.
    pub(crate) fn hold_after(self, deltas: usize, gate: &Gate) -> Self {
        self.later(deltas, Piece::Hold(gate.clone()))
    }

    /// Stands still for ever after the n-th delta.
    pub(crate) fn hang_after(self, deltas: usize) -> Self {
        self.hold_after(deltas, &Gate::default())
    }

    /// Pauses after the n-th delta.
    pub(crate) fn pause_after(self, deltas: usize, pause: Duration) -> Self {
        self.later(deltas, Piece::Wait(pause))
    }

    /// Sends nothing but comments, for ever, after the n-th delta.
    pub(crate) fn only_comments_after(self, deltas: usize, every: Duration) -> Self {
        self.later(deltas, Piece::CommentsForEver(every))
    }

    /// Closes the connection in the middle of the body after the n-th delta.
    pub(crate) fn drop_connection_after(self, deltas: usize) -> Self {
        self.later(deltas, Piece::Drop)
    }

    /// Resets the connection after the n-th delta.
    pub(crate) fn reset_after(self, deltas: usize) -> Self {
        self.later(deltas, Piece::Reset)
    }

    /// Ends the body after the n-th delta as if that were all: no finish, no usage, no `[DONE]`.
    pub(crate) fn end_after(self, deltas: usize) -> Self {
        self.later(deltas, Piece::End)
    }

    /// Fails inside the stream, after all that was added so far. The code may be a string or a number.
    pub(crate) fn error_in_stream(self, code: impl Into<Value>, message: &str) -> Self {
        self.then(Piece::Error(json!({"code": code.into(), "message": message})))
    }

    /// Fails inside the stream after the n-th delta.
    pub(crate) fn error_in_stream_after(self, deltas: usize, code: impl Into<Value>, message: &str) -> Self {
        self.later(deltas, Piece::Error(json!({"code": code.into(), "message": message})))
    }

    /// Answers with this status and JSON instead of a stream.
    pub(crate) fn http_error(mut self, status: u16, body: Value, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.response = Some(Response { status, headers, body: body.to_string() });
        self
    }

    /// Answers with this status and text instead of a stream.
    pub(crate) fn text(mut self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.response = Some(Response { status, headers, body: body.to_owned() });
        self
    }

    /// Takes the request and closes the connection without a word.
    pub(crate) fn close_before_headers(mut self) -> Self {
        self.hang_up = true;
        self
    }

    /// Takes the request and says nothing, for ever.
    pub(crate) fn hang_before_headers(self) -> Self {
        self.hold_before_headers(&Gate::default())
    }

    /// Takes the request and says nothing until the gate is opened.
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
        /// `data:{…}`.
        no_space_after_data: space = "";
        /// Begins with a byte order mark.
        bom: bom = true;
        /// Leaves out the first delta, which names the role.
        no_role: role = false;
        /// Leaves out `data: [DONE]`.
        no_done: done = false;
        /// Sends `data: [DONE]` even after an error in the stream.
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

    /// Finishes with this reason.
    pub(crate) fn finish(mut self, reason: &str) -> Self {
        self.finish = Some(reason.to_owned());
        self
    }

    /// Charges this much; the cost in dollars, or `None` as servers other than OpenRouter do.
    pub(crate) fn usage(mut self, prompt: u64, completion: u64, cost: impl Into<Option<f64>>) -> Self {
        self.usage = Some((prompt, completion, cost.into()));
        self
    }

    /// Sends the usage in this way.
    pub(crate) fn usage_chunk(mut self, chunk: UsageChunk) -> Self {
        self.usage_chunk = chunk;
        self
    }

    /// Names this model as the one that answered; otherwise it is the one that was asked.
    pub(crate) fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// The id in `X-Generation-Id` and in the chunks; otherwise it is `gen-` and the number of the request.
    pub(crate) fn generation(mut self, id: &str) -> Self {
        self.generation = Some(id.to_owned());
        self
    }

    fn then(mut self, piece: Piece) -> Self {
        self.pieces.push(piece);
        self
    }

    fn later(mut self, deltas: usize, piece: Piece) -> Self {
        self.after.push((deltas, piece));
        self
    }
}

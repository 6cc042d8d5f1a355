//! Writes the response of a script: HTTP/1.1, chunked, split as the script says.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::support::upstream::script::{Script, echo};
use crate::support::upstream::stream_step::{Response, StreamStep, UsageChunk};

/// The state of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// The response is complete and the connection can be reused.
    Reusable,
    /// The connection must be closed.
    Closed,
    /// The connection must be reset.
    Reset,
}

/// A response being written.
pub(crate) struct ResponseStream<'a, W> {
    writer: W,
    script: &'a Script,
    id: String,
    model: String,
    /// The number of deltas written so far.
    pub(crate) deltas: usize,
    /// Whether everything but the end marker is written.
    pub(crate) complete: bool,
}

impl<'a, W: AsyncWrite + Unpin> ResponseStream<'a, W> {
    /// Creates the response to the `number`-th request.
    pub(crate) fn new(writer: W, script: &'a Script, number: usize, body: &Value) -> Self {
        let id = script.generation.clone().unwrap_or_else(|| format!("gen-{number}"));
        let requested_model = body.get("model").and_then(Value::as_str).unwrap_or("test/model");
        let model = script.model.clone().unwrap_or_else(|| requested_model.to_owned());
        Self { writer, script, id, model, deltas: 0, complete: false }
    }

    /// Writes the whole response. A script without words echoes `question`.
    pub(crate) async fn play(&mut self, question: &str) -> io::Result<ConnectionState> {
        let script = self.script;
        if let Some(gate) = &script.before_headers {
            gate.pass().await;
        }
        if let Some(state) = script.hang_up {
            return Ok(state);
        }
        if let Some(response) = &script.response {
            write_response(&mut self.writer, response).await?;
            return Ok(ConnectionState::Reusable);
        }
        self.write_head().await?;
        if script.bom {
            self.write(b"\xef\xbb\xbf").await?;
        }
        if script.debug {
            self.event(
                &json!({"id": self.id, "choices": [], "debug": {"echo_upstream_body": {"stream": true}}}),
            )
            .await?;
        }
        if script.role {
            self.choice(json!({"role": "assistant", "content": ""}), None).await?;
        }
        let ended_by_step = self.run_steps(question).await?;
        if ended_by_step == Some(ConnectionState::Reusable) {
            self.writer.write_all(b"0\r\n\r\n").await?;
        }
        match ended_by_step {
            Some(state) => Ok(state),
            None => self.finish().await,
        }
    }

    /// Runs all steps. Returns the state of the connection if one of them ended the response.
    async fn run_steps(&mut self, question: &str) -> io::Result<Option<ConnectionState>> {
        let script = self.script;
        let mut steps = script.steps.clone();
        if !steps.iter().any(|step| matches!(step, StreamStep::Delta(_) | StreamStep::Bytes(_))) {
            // The echo goes in front of an error step, if there is one.
            let is_error = |step: &StreamStep| matches!(step, StreamStep::Error(_));
            let end = steps.iter().position(is_error).unwrap_or(steps.len());
            let words = echo(question).into_iter();
            steps.splice(end..end, words.map(|word| StreamStep::Delta(json!({"content": word}))));
        }
        let mut delayed_steps = script.delayed_steps.clone();
        delayed_steps.sort_by_key(|(after_deltas, _)| *after_deltas);
        let mut delayed_steps = delayed_steps.into_iter().peekable();
        for step in steps.into_iter().map(Some).chain([None]) {
            // At the end, the steps run that wait for more deltas than the script has.
            let (deltas, is_end) = (self.deltas, step.is_none());
            while let Some((_, step)) = delayed_steps.next_if(|(after, _)| *after <= deltas || is_end) {
                if let Some(state) = self.run_step(step).await? {
                    return Ok(Some(state));
                }
            }
            if let Some(step) = step
                && let Some(state) = self.run_step(step).await?
            {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    async fn run_step(&mut self, step: StreamStep) -> io::Result<Option<ConnectionState>> {
        match step {
            StreamStep::Delta(delta) => {
                if !self.script.every.is_zero() {
                    tokio::time::sleep(self.script.every).await;
                }
                self.choice(delta, None).await?;
                self.deltas += 1;
            }
            StreamStep::Bytes(bytes) => self.write(&bytes).await?,
            StreamStep::Comment => self.comment().await?,
            StreamStep::EndlessComments(interval) => loop {
                tokio::time::sleep(interval).await;
                self.comment().await?;
            },
            StreamStep::Wait(pause) => tokio::time::sleep(pause).await,
            StreamStep::Hold(gate) => gate.pass().await,
            StreamStep::Error(error) => {
                let mut chunk =
                    self.chunk(json!([{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]));
                insert(&mut chunk, "error", error);
                self.event(&chunk).await?;
                if self.script.done_after_error {
                    self.data("[DONE]").await?;
                }
                return Ok(Some(ConnectionState::Reusable));
            }
            StreamStep::End => return Ok(Some(ConnectionState::Reusable)),
            StreamStep::Drop => return Ok(Some(ConnectionState::Closed)),
            StreamStep::Reset => return Ok(Some(ConnectionState::Reset)),
        }
        Ok(None)
    }

    async fn finish(&mut self) -> io::Result<ConnectionState> {
        let script = self.script;
        let usage = script.usage.map(|(prompt, completion, cost)| {
            let mut usage = json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            });
            if let Some(cost) = cost {
                insert(&mut usage, "cost", json!(cost));
                insert(&mut usage, "cost_details", json!({"upstream_inference_cost": null}));
            }
            usage
        });
        let finished = json!([{
            "index": 0, "delta": {"role": "assistant", "content": ""},
            "finish_reason": script.finish, "native_finish_reason": script.finish,
        }]);
        let with_finish_reason = script.usage_chunk == UsageChunk::WithFinishReason;
        if script.finish.is_some() || (with_finish_reason && usage.is_some()) {
            let mut chunk = self.chunk(finished.clone());
            if let Some(usage) = usage.clone().filter(|_| with_finish_reason) {
                insert(&mut chunk, "usage", usage);
            }
            self.event(&chunk).await?;
        }
        if let Some(usage) = usage.filter(|_| !with_finish_reason) {
            let mut chunk = match script.usage_chunk {
                UsageChunk::RepeatedChoice => self.chunk(finished),
                UsageChunk::NoId => json!({"choices": []}),
                UsageChunk::EmptyChoices | UsageChunk::WithFinishReason => self.chunk(json!([])),
            };
            insert(&mut chunk, "usage", usage);
            self.event(&chunk).await?;
        }
        if script.metadata {
            let metadata = json!({"strategy": "direct", "attempt": 1, "endpoints": {"total": 1}});
            self.event(&json!({"id": self.id, "choices": [], "openrouter_metadata": metadata})).await?;
        }
        self.complete = true;
        if script.done {
            self.data("[DONE]").await?;
        }
        self.writer.write_all(b"0\r\n\r\n").await?;
        Ok(ConnectionState::Reusable)
    }

    async fn write_head(&mut self) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
             x-generation-id: {}\r\ntransfer-encoding: chunked\r\n\r\n",
            self.id
        );
        self.writer.write_all(head.as_bytes()).await
    }

    async fn choice(&mut self, delta: Value, finish: Option<&str>) -> io::Result<()> {
        let choices =
            json!([{"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}]);
        self.event(&self.chunk(choices)).await
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": self.model, "provider": "Fake", "choices": choices,
        })
    }

    async fn comment(&mut self) -> io::Result<()> {
        let end = self.script.line_end;
        self.write(format!(": OPENROUTER PROCESSING{end}{end}").as_bytes()).await
    }

    async fn event(&mut self, chunk: &Value) -> io::Result<()> {
        self.data(&chunk.to_string()).await
    }

    async fn data(&mut self, data: &str) -> io::Result<()> {
        let (space, end) = (self.script.space, self.script.line_end);
        self.write(format!("data:{space}{data}{end}{end}").as_bytes()).await
    }

    /// Writes each piece as one HTTP chunk, because HTTP clients deliver chunks separately.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(self.script.split) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            self.writer.write_all(&chunk).await?;
        }
        Ok(())
    }
}

/// Writes a response that is not a stream.
pub(crate) async fn write_response(
    writer: &mut (impl AsyncWrite + Unpin),
    response: &Response,
) -> io::Result<()> {
    let Response { status, headers, body } = response;
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    writer.write_all(format!("{head}\r\n{body}").as_bytes()).await
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

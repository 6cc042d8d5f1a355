//! Plays a script onto a connection: HTTP/1.1, chunked, split wherever the script says.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::support::upstream::script::{Script, echo};
use crate::support::upstream::stream_step::{Piece, Response, UsageChunk};

/// How a response left its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Complete, so that the connection may serve again.
    Usable,
    /// To be closed in the middle.
    Closed,
    /// To be reset in the middle.
    Reset,
}

/// One response on its way out.
pub(crate) struct Stream<'a, W> {
    writer: W,
    script: &'a Script,
    id: String,
    model: String,
    /// Deltas written so far: read by the one who notices that the client has gone.
    pub(crate) deltas: usize,
    /// Whether nothing is left to say but the end.
    pub(crate) complete: bool,
}

impl<'a, W: AsyncWrite + Unpin> Stream<'a, W> {
    /// The answer to the `number`-th request.
    pub(crate) fn new(writer: W, script: &'a Script, number: usize, body: &Value) -> Self {
        let id = script.generation.clone().unwrap_or_else(|| format!("gen-{number}"));
        let asked = body.get("model").and_then(Value::as_str).unwrap_or("test/model");
        let model = script.model.clone().unwrap_or_else(|| asked.to_owned());
        Self { writer, script, id, model, deltas: 0, complete: false }
    }

    /// Writes the whole response, echoing `question` when the script has no words of its own.
    pub(crate) async fn play(&mut self, question: &str) -> io::Result<Left> {
        let script = self.script;
        if let Some(gate) = &script.before_headers {
            gate.pass().await;
        }
        if script.hang_up {
            return Ok(Left::Closed);
        }
        if let Some(response) = &script.response {
            write_response(&mut self.writer, response).await?;
            return Ok(Left::Usable);
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
        let left = self.pieces(question).await?;
        if left == Some(Left::Usable) {
            self.writer.write_all(b"0\r\n\r\n").await?;
        }
        match left {
            Some(left) => Ok(left),
            None => self.finish().await,
        }
    }

    /// Plays the pieces; says how the connection was left if one of them ended the response.
    async fn pieces(&mut self, question: &str) -> io::Result<Option<Left>> {
        let script = self.script;
        let mut pieces = script.pieces.clone();
        if !pieces.iter().any(|piece| matches!(piece, Piece::Delta(_) | Piece::Bytes(_))) {
            // In front of an error, if there is one: that is where words go.
            let end =
                pieces.iter().position(|piece| matches!(piece, Piece::Error(_))).unwrap_or(pieces.len());
            let words = echo(question).into_iter().map(|word| Piece::Delta(json!({"content": word})));
            pieces.splice(end..end, words);
        }
        let mut after = script.after.clone();
        after.sort_by_key(|(deltas, _)| *deltas);
        let mut after = after.into_iter().peekable();
        for piece in pieces.into_iter().map(Some).chain([None]) {
            // After the last piece comes whatever waited for more deltas than there were.
            let (deltas, last) = (self.deltas, piece.is_none());
            while let Some((_, piece)) = after.next_if(|(wanted, _)| *wanted <= deltas || last) {
                if let Some(left) = self.piece(piece).await? {
                    return Ok(Some(left));
                }
            }
            if let Some(piece) = piece
                && let Some(left) = self.piece(piece).await?
            {
                return Ok(Some(left));
            }
        }
        Ok(None)
    }

    async fn piece(&mut self, piece: Piece) -> io::Result<Option<Left>> {
        match piece {
            Piece::Delta(delta) => {
                if !self.script.every.is_zero() {
                    tokio::time::sleep(self.script.every).await;
                }
                self.choice(delta, None).await?;
                self.deltas += 1;
            }
            Piece::Bytes(bytes) => self.write(&bytes).await?,
            Piece::Comment => self.comment().await?,
            Piece::CommentsForEver(every) => loop {
                tokio::time::sleep(every).await;
                self.comment().await?;
            },
            Piece::Wait(pause) => tokio::time::sleep(pause).await,
            Piece::Hold(gate) => gate.pass().await,
            Piece::Error(error) => {
                let mut chunk =
                    self.chunk(json!([{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]));
                insert(&mut chunk, "error", error);
                self.event(&chunk).await?;
                if self.script.done_after_error {
                    self.data("[DONE]").await?;
                }
                return Ok(Some(Left::Usable));
            }
            Piece::End => return Ok(Some(Left::Usable)),
            Piece::Drop => return Ok(Some(Left::Closed)),
            Piece::Reset => return Ok(Some(Left::Reset)),
        }
        Ok(None)
    }

    async fn finish(&mut self) -> io::Result<Left> {
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
        let with_the_finish = script.usage_chunk == UsageChunk::WithTheFinish;
        if script.finish.is_some() || (with_the_finish && usage.is_some()) {
            let mut chunk = self.chunk(finished.clone());
            if let Some(usage) = usage.clone().filter(|_| with_the_finish) {
                insert(&mut chunk, "usage", usage);
            }
            self.event(&chunk).await?;
        }
        if let Some(usage) = usage.filter(|_| !with_the_finish) {
            let mut chunk = match script.usage_chunk {
                UsageChunk::RepeatedChoice => self.chunk(finished),
                UsageChunk::NoId => json!({"choices": []}),
                UsageChunk::EmptyChoices | UsageChunk::WithTheFinish => self.chunk(json!([])),
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
        Ok(Left::Usable)
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

    /// One HTTP chunk a piece: an HTTP client hands on each by itself, however they came off the wire.
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

/// Writes a response that is no stream.
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

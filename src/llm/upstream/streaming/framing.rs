//! The framing of a streamed response: which bytes are a message.
//!
//! The format is server-sent events, as the HTML standard defines them, and what servers send in
//! their place: events separated by single newlines, fields after spaces, lines of JSON without
//! `data:`, one JSON document. The bytes decide, not the content type.
//!
//! The decoder runs in linear time, buffers a bounded number of bytes and accepts chunks split at
//! any byte.

use memchr::memchr2;
use thiserror::Error;

use crate::llm::upstream::json::Balance;

/// The maximum size of one message. The largest messages seen in practice have a few KiB.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a response cannot be decoded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    /// A message has more than [`MAX_EVENT_BYTES`] bytes.
    #[error("an event of the stream has more than {MAX_EVENT_BYTES} bytes")]
    TooLarge,
    /// The response is a page of HTML or another XML document.
    #[error("the response is a page of HTML")]
    Html,
}

/// A part of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The data of an event, or a JSON value of its own.
    Message(&'a str),
    /// The data of an event named `error`, or the value of a field named `error`.
    Error(&'a str),
    /// `[DONE]`.
    Done,
}

/// Decodes the bytes of a response into frames.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// The start of an incomplete line.
    line: Vec<u8>,
    /// The data of the incomplete message, its lines joined by `\n`.
    pending: String,
    /// The brackets in `pending`.
    balance: Balance,
    /// Whether `pending` came without `data:`.
    is_bare: bool,
    /// Whether the incomplete event is named `error`.
    is_error: bool,
    /// Whether the last byte was a CR. An LF that follows belongs to the same line ending.
    after_carriage_return: bool,
    /// Whether a line that is not blank was read.
    has_started: bool,
}

impl FrameDecoder {
    /// Decodes the next bytes and calls `on_frame` with each frame that they complete. Invalid
    /// UTF-8 is replaced by replacement characters.
    ///
    /// # Errors
    /// Returns a [`FramingError`] if a message is too large or the response is HTML; the decoder
    /// must not be used after that.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_frame: impl FnMut(Frame<'_>),
    ) -> Result<(), FramingError> {
        if self.after_carriage_return && !bytes.is_empty() {
            self.after_carriage_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            let Some((terminator, rest)) = rest.split_first() else { break };
            bytes = rest;
            if *terminator == b'\r' {
                match bytes.split_first() {
                    Some((b'\n', rest)) => bytes = rest,
                    Some(_) => {}
                    None => self.after_carriage_return = true,
                }
            }
            if self.line.is_empty() {
                self.on_line(line, &mut on_frame)?;
            } else {
                self.buffer(line)?;
                let mut buffered = std::mem::take(&mut self.line);
                self.on_line(&buffered, &mut on_frame)?;
                buffered.clear();
                self.line = buffered;
            }
        }
        self.buffer(bytes)
    }

    /// Ends the response and calls `on_frame` for a last message without its line ending.
    ///
    /// # Errors
    /// Returns a [`FramingError`] as [`Self::feed`] does.
    pub fn finish(mut self, mut on_frame: impl FnMut(Frame<'_>)) -> Result<(), FramingError> {
        let line = std::mem::take(&mut self.line);
        self.on_line(&line, &mut on_frame)?;
        self.flush(&mut on_frame);
        Ok(())
    }

    fn buffer(&mut self, bytes: &[u8]) -> Result<(), FramingError> {
        if self.line.len() + bytes.len() + self.pending.len() > MAX_EVENT_BYTES {
            return Err(FramingError::TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn on_line(&mut self, line: &[u8], on_frame: &mut impl FnMut(Frame<'_>)) -> Result<(), FramingError> {
        let line = if self.has_started { line } else { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) };
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches([' ', '\t', '\u{feff}']);
        if text.is_empty() {
            // A blank line ends an event. Within a JSON document it means nothing.
            if !self.is_bare {
                self.flush(on_frame);
                self.is_error = false;
            }
            return Ok(());
        }
        if !std::mem::replace(&mut self.has_started, true) && text.starts_with('<') {
            return Err(FramingError::Html);
        }
        match split_field(text) {
            Some(("data", value)) => {
                if self.is_bare {
                    self.flush(on_frame);
                }
                self.on_data(value, on_frame)
            }
            _ if self.is_bare => self.on_data(text, on_frame),
            Some(("event", name)) => {
                self.is_error = name.trim().eq_ignore_ascii_case("error");
                Ok(())
            }
            Some(("error", value)) => {
                self.flush(on_frame);
                on_frame(Frame::Error(value));
                Ok(())
            }
            Some(_) => Ok(()),
            None => self.on_bare_line(text, on_frame),
        }
    }

    /// Reads a line that is no field: JSON, `[DONE]`, or something to ignore.
    fn on_bare_line(&mut self, text: &str, on_frame: &mut impl FnMut(Frame<'_>)) -> Result<(), FramingError> {
        if is_done(text) {
            return self.on_data(text, on_frame);
        }
        // Some gateways append the end of a stream to a whole document.
        if let Some(document) =
            text.trim_end().strip_suffix("data: [DONE]").filter(|text| text.starts_with('{'))
        {
            self.on_bare_line(document, on_frame)?;
            return self.on_data("[DONE]", on_frame);
        }
        // The elements of a list that is streamed, one to a line.
        let text = if self.pending.is_empty() { text.trim_start_matches(['[', ',', ']', ' ']) } else { text };
        if text.is_empty() || (self.pending.is_empty() && !text.starts_with('{')) {
            return Ok(());
        }
        self.is_bare = self.pending.is_empty();
        self.on_data(text, on_frame)
    }

    fn on_data(&mut self, value: &str, on_frame: &mut impl FnMut(Frame<'_>)) -> Result<(), FramingError> {
        // Some proxies frame events twice.
        let value = match value.trim_start().strip_prefix("data:") {
            Some(inner) if self.pending.is_empty() => inner.trim_start(),
            _ => value,
        };
        if is_done(value) {
            self.flush(on_frame);
            on_frame(Frame::Done);
            return Ok(());
        }
        if !self.pending.is_empty() && self.starts_another_message(value) {
            self.flush(on_frame);
        }
        if self.pending.len() + value.len() + 1 > MAX_EVENT_BYTES {
            return Err(FramingError::TooLarge);
        }
        self.balance.read(value);
        if self.pending.is_empty() && self.balance.is_whole() {
            self.balance = Balance::default();
            self.is_bare = false;
            self.emit(value, on_frame);
            return Ok(());
        }
        if !self.pending.is_empty() {
            self.pending.push('\n');
        }
        self.pending.push_str(value);
        // JSON that is whole needs no blank line.
        if self.balance.is_whole() && self.pending.starts_with(['{', '[']) {
            self.flush(on_frame);
        }
        Ok(())
    }

    /// Returns whether a line of data is a message of its own rather than the next line of the
    /// pending one: the pending one is no JSON, or was cut off.
    fn starts_another_message(&self, value: &str) -> bool {
        let mut balance = Balance::default();
        balance.read(value);
        balance.is_whole()
            && (!self.pending.starts_with(['{', '['])
                || (value.trim_start().starts_with('{') && value.contains("\"choices\"")))
    }

    /// Emits the pending message, even if it is incomplete.
    fn flush(&mut self, on_frame: &mut impl FnMut(Frame<'_>)) {
        let mut pending = std::mem::take(&mut self.pending);
        self.balance = Balance::default();
        self.is_bare = false;
        if !pending.is_empty() {
            self.emit(&pending, on_frame);
        }
        pending.clear();
        self.pending = pending;
    }

    fn emit(&mut self, data: &str, on_frame: &mut impl FnMut(Frame<'_>)) {
        let is_error = std::mem::take(&mut self.is_error);
        on_frame(if is_error { Frame::Error(data) } else { Frame::Message(data) });
    }
}

/// Splits a line into the name and the value of a field of server-sent events. Comments have an
/// empty name.
fn split_field(line: &str) -> Option<(&'static str, &str)> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let name = ["data", "event", "error", "id", "retry", ""]
        .into_iter()
        .find(|known| name.trim_end().eq_ignore_ascii_case(known))?;
    Some((name, value.strip_prefix(' ').unwrap_or(value)))
}

fn is_done(value: &str) -> bool {
    let value = value.trim().trim_matches('"');
    value.eq_ignore_ascii_case("[DONE]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, FramingError> {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        let mut on_frame = |frame: Frame<'_>| {
            frames.push(match frame {
                Frame::Message(data) => data.to_owned(),
                Frame::Error(data) => format!("error {data}"),
                Frame::Done => "done".to_owned(),
            });
        };
        for piece in pieces {
            decoder.feed(piece, &mut on_frame)?;
        }
        decoder.finish(&mut on_frame)?;
        Ok(frames)
    }

    #[test]
    fn events_of_every_format_are_decoded() {
        for (stream, expected) in [
            ("data: a\n\n", vec!["a"]),
            ("data:a\n\n", vec!["a"]),
            ("data:  a\n\n", vec![" a"]),
            (" data: {}\n\n", vec!["{}"]),
            ("Data : {}\n\n", vec!["{}"]),
            ("\u{feff}data: a\r\n\r\n", vec!["a"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            (": OPENROUTER PROCESSING\n\ndata: a\n\n", vec!["a"]),
            ("event: x\nid: 7\nretry: 9\ndata: a\ndata: b\n\n", vec!["a\nb"]),
            ("data: {\ndata: \"a\": 1}\n\n", vec!["{\n\"a\": 1}"]),
            ("data\n\n", vec![]),
            ("data: a", vec!["a"]),
            ("datum: a\n\n", vec![]),
            ("\n\n\n", vec![]),
        ] {
            assert_eq!(decode([stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        }
    }

    #[test]
    fn single_newlines_separate_events() {
        for (stream, expected) in [
            ("data: {}\ndata: {}\ndata: [DONE]\n", vec!["{}", "{}", "done"]),
            ("data: {}\n\ndata: {}\ndata: [DONE]\n\n", vec!["{}", "{}", "done"]),
            ("event: message\ndata: {}\nevent: error\ndata: {\"a\":1}\n", vec!["{}", "error {\"a\":1}"]),
            (
                "data: {\"choices\": [{\ndata: {\"choices\":[]}\n\n",
                vec!["{\"choices\": [{", "{\"choices\":[]}"],
            ),
            ("data: ping\ndata: {}\n", vec!["ping", "{}"]),
            ("data: data: {}\n\ndata: data: [DONE]\n\n", vec!["{}", "done"]),
        ] {
            assert_eq!(decode([stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        }
    }

    #[test]
    fn json_without_data_is_decoded() {
        for (stream, expected) in [
            ("{\"a\":1}\n{\"a\":2}\n", vec!["{\"a\":1}", "{\"a\":2}"]),
            ("\n{\"a\":1}\n[DONE]", vec!["{\"a\":1}", "done"]),
            ("{\n  \"data: x\": 1,\n\n  \"a\": {}\n}", vec!["{\n\"data: x\": 1,\n\"a\": {}\n}"]),
            ("[{\"a\":1},\n{\"a\":2}\n]\n", vec!["{\"a\":1},", "{\"a\":2}"]),
            ("data: {}\n\n{\"error\":{}}", vec!["{}", "{\"error\":{}}"]),
            ("data: {}\n\nerror: {\"a\":1}\n\n", vec!["{}", "error {\"a\":1}"]),
        ] {
            assert_eq!(decode([stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        }
    }

    #[test]
    fn html_is_refused() {
        assert_eq!(decode([&b"\n <!doctype html><title>502</title>"[..]]), Err(FramingError::Html));
        assert_eq!(decode([&b"data: <b>\n\n"[..]]).unwrap(), ["<b>"]);
    }

    #[test]
    fn invalid_utf_8_affects_only_its_own_event() {
        assert_eq!(decode([&b"data: a\xffb\n\ndata: c\n\n"[..]]).unwrap(), ["a\u{fffd}b", "c"]);
    }

    #[test]
    fn endless_line_and_endless_event_are_rejected() {
        let piece = [b'x'; 1024];
        assert_eq!(decode(std::iter::repeat_n(&piece[..], 300)), Err(FramingError::TooLarge));
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(8);
        assert_eq!(decode(std::iter::repeat_n(&lines[..], 600)), Err(FramingError::TooLarge));
    }

    #[test]
    fn small_pieces_are_decoded_in_linear_time() {
        let long = format!("data: {}\n\n", "x".repeat(200 * 1024));
        let start = std::time::Instant::now();
        for _ in 0..4 {
            assert_eq!(decode(long.as_bytes().chunks(1)).unwrap().len(), 1);
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    fn stream() -> impl Strategy<Value = String> {
        let ending = prop::sample::select(vec!["\n", "\r\n", "\r"]);
        let line = prop::sample::select(vec![
            "data: {\"a\":\"ü→😀\"}",
            "data: {\"choices\":",
            "data: []}",
            "data:x",
            "data",
            ": comment",
            "event: error",
            "{\"a\":",
            "1}",
            "",
            "",
            "id",
            "error: {}",
            "data: [DONE]",
        ]);
        (prop::bool::ANY, prop::collection::vec((line, ending), 0..24)).prop_map(|(mark, lines)| {
            let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
            text.extend(lines.into_iter().flat_map(|(line, ending)| [line, ending]));
            text
        })
    }

    proptest! {
        #[test]
        fn split_points_do_not_change_the_frames(text in stream(), cut in 1_usize..9) {
            let whole = decode([text.as_bytes()]).unwrap();
            prop_assert_eq!(decode(text.as_bytes().chunks(cut)).unwrap(), whole.clone());
            for at in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(at);
                prop_assert_eq!(decode([head, tail]).unwrap(), whole.clone());
            }
        }
    }
}

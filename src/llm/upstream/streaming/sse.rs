//! A decoder of server-sent events.
//!
//! It runs in linear time, buffers a bounded number of bytes and accepts chunks split at any byte.
//! Existing crates rescan their buffer for every line, buffer without a bound, and fail on invalid
//! UTF-8. The decoder yields the `data` of each event, the only field that chat completions use.

use memchr::memchr2;
use thiserror::Error;

/// The maximum size of one event. The largest events seen in practice have a few KiB.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event has more than [`MAX_EVENT_BYTES`] bytes.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an event of the stream has more than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLarge;

/// Decodes the bytes of a `text/event-stream` into the data of its events.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The start of an incomplete line.
    line: Vec<u8>,
    /// The data of the incomplete event, its lines joined by `\n`.
    data: Vec<u8>,
    /// Whether the incomplete event has a data line, which may be empty.
    has_data: bool,
    /// Whether the last byte was a CR. An LF that follows belongs to the same line ending.
    after_carriage_return: bool,
    /// Whether the first line was read. A byte order mark is only allowed before it.
    has_first_line: bool,
}

impl SseDecoder {
    /// Decodes the next bytes and calls `on_event` with the data of each event that they complete.
    /// Invalid UTF-8 is replaced by replacement characters.
    ///
    /// # Errors
    /// Returns [`EventTooLarge`] if an event exceeds the maximum size; the decoder must not be used
    /// after that.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(&str)) -> Result<(), EventTooLarge> {
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
                self.on_line(line, &mut on_event)?;
            } else {
                self.buffer(line)?;
                let buffered = std::mem::take(&mut self.line);
                self.on_line(&buffered, &mut on_event)?;
                self.line = buffered;
                self.line.clear();
            }
        }
        self.buffer(bytes)
    }

    /// Ends the stream and calls `on_event` for a last event without its blank line.
    ///
    /// # Errors
    /// Returns [`EventTooLarge`] if the event exceeds the maximum size.
    pub fn finish(mut self, mut on_event: impl FnMut(&str)) -> Result<(), EventTooLarge> {
        let line = std::mem::take(&mut self.line);
        self.on_line(&line, &mut on_event)?;
        self.on_line(b"", &mut on_event)
    }

    fn buffer(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + bytes.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn on_line(&mut self, mut line: &[u8], on_event: &mut impl FnMut(&str)) -> Result<(), EventTooLarge> {
        if !self.has_first_line {
            self.has_first_line = true;
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                on_event(&String::from_utf8_lossy(&self.data));
                self.data.clear();
            }
            return Ok(());
        }
        let Some(value) = data_value(line) else { return Ok(()) };
        if self.data.len() + value.len() + 1 > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }
}

/// Returns the value of a `data` line, or `None` for comments and other fields.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, EventTooLarge> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece, |data| events.push(data.to_owned()))?;
        }
        decoder.finish(|data| events.push(data.to_owned()))?;
        Ok(events)
    }

    #[test]
    fn events_of_every_format_are_decoded() {
        for (stream, expected) in [
            ("data: a\n\n", vec!["a"]),
            ("data:a\n\n", vec!["a"]),
            ("data:  a\n\n", vec![" a"]),
            ("\u{feff}data: a\r\n\r\n", vec!["a"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            (": OPENROUTER PROCESSING\n\ndata: a\n\n", vec!["a"]),
            ("event: x\nid: 7\nretry: 9\ndata: a\ndata: b\n\n", vec!["a\nb"]),
            ("data\n\n", vec![""]),
            ("data: a", vec!["a"]),
            ("datum: a\n\n", vec![]),
            ("\n\n\n", vec![]),
        ] {
            assert_eq!(decode([stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        }
    }

    #[test]
    fn invalid_utf_8_affects_only_its_own_event() {
        assert_eq!(decode([&b"data: a\xffb\n\ndata: c\n\n"[..]]).unwrap(), ["a\u{fffd}b", "c"]);
    }

    #[test]
    fn endless_line_and_endless_event_are_rejected() {
        let piece = [b'x'; 1024];
        assert_eq!(decode(std::iter::repeat_n(&piece[..], 300)), Err(EventTooLarge));
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(8);
        assert_eq!(decode(std::iter::repeat_n(&lines[..], 600)), Err(EventTooLarge));
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
            "data:x",
            "data",
            ": comment",
            "event: y",
            "",
            "",
            "id",
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
        fn split_points_do_not_change_the_events(text in stream(), cut in 1_usize..9) {
            let whole = decode([text.as_bytes()]).unwrap();
            prop_assert_eq!(decode(text.as_bytes().chunks(cut)).unwrap(), whole.clone());
            for at in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(at);
                prop_assert_eq!(decode([head, tail]).unwrap(), whole.clone());
            }
        }
    }
}

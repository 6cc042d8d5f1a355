//! Reads the headers of inbound WebSocket frames as they pass and stops at one that declares too much.
//!
//! The codec behind it looks at a frame's length only when the whole frame has arrived, so without this a header that
//! declares gigabytes would be buffered for as long as the client cares to send.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use crate::protocol::MAX_MESSAGE_BYTES;

/// Why the stream of frames ended, for the actor that sees only that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame declared more bytes than a message may have.
    TooBig,
    /// The connection is gone.
    Lost,
}

/// Shared between the guard and the actor behind it, both on one thread.
pub type BrokenCell = Rc<Cell<Option<Broken>>>;

/// Follows the boundaries of frames in a stream of bytes.
#[derive(Debug, Default)]
struct Headers {
    /// Bytes of the current header.
    header: [u8; 10],
    filled: usize,
    /// Bytes of the current frame (mask and payload) that are still to come.
    remaining: u64,
}

impl Headers {
    /// Follows the next bytes. Returns how many of them may pass: all, or those before a header that declares too much.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.remaining > 0 {
                let skipped = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                at += skipped;
                self.remaining -= u64::try_from(skipped).unwrap_or(0);
                continue;
            }
            let (Some(next), Some(slot)) = (rest.first(), self.header.get_mut(self.filled)) else {
                return at;
            };
            *slot = *next;
            self.filled += 1;
            if let Some((payload, masked)) = self.complete() {
                if payload > u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX) {
                    return at;
                }
                self.remaining = payload + if masked { 4 } else { 0 };
                self.filled = 0;
            }
            at += 1;
        }
        at
    }

    /// The declared length and whether a mask follows, once the header is complete.
    fn complete(&self) -> Option<(u64, bool)> {
        let [_, second, extended @ ..] = &self.header;
        let masked = second & 0x80 != 0;
        let [a, b, ..] = *extended;
        match (second & 0x7f, self.filled) {
            (length @ 0..=125, 2) => Some((u64::from(length), masked)),
            (126, 4) => Some((u64::from(u16::from_be_bytes([a, b])), masked)),
            (127, 10) => Some((u64::from_be_bytes(*extended), masked)),
            _ => None,
        }
    }
}

/// Lets the frames of `payload` pass until one declares too much; then it yields one error and ends.
pub struct FrameGuard<S> {
    payload: S,
    headers: Headers,
    broken: BrokenCell,
    ended: bool,
}

impl<S> FrameGuard<S> {
    /// Guards a payload; `broken` will say why the stream ended, if it was not the client's wish.
    pub fn new(payload: S, broken: BrokenCell) -> Self {
        Self { payload, headers: Headers::default(), broken, ended: false }
    }

    fn end(&mut self, why: Broken) -> PayloadError {
        self.ended = true;
        self.broken.set(Some(why));
        PayloadError::Io(io::Error::other("the stream of frames is broken"))
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for FrameGuard<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match std::task::ready!(Pin::new(&mut self.payload).poll_next(cx)) {
            Some(Ok(bytes)) => {
                // The frames before the bad one are given up with it: the connection ends here.
                if self.headers.follow(&bytes) == bytes.len() {
                    Some(Ok(bytes))
                } else {
                    Some(Err(self.end(Broken::TooBig)))
                }
            }
            Some(Err(_)) => Some(Err(self.end(Broken::Lost))),
            None => {
                self.ended = true;
                None
            }
        };
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x81];
        match length {
            0..=125 => bytes.push(mask | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        bytes.extend(vec![0xff; length.min(MAX_MESSAGE_BYTES)]);
        bytes
    }

    #[test]
    fn a_header_that_declares_too_much_is_stopped_at_the_header() {
        for declared in [MAX_MESSAGE_BYTES + 1, 1 << 33, usize::MAX] {
            let mut headers = Headers::default();
            let good = frame(5, true);
            let bytes = [good.clone(), frame(declared, true)].concat();
            let passed = headers.follow(&bytes);
            assert!((good.len()..good.len() + 10).contains(&passed), "{declared}: {passed}");
        }
    }

    proptest! {
        #[test]
        fn allowed_frames_pass_however_the_bytes_are_cut(
            frames in prop::collection::vec((0..MAX_MESSAGE_BYTES, prop::bool::ANY), 1..6),
            cut in 1_usize..5_000,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(length, masked)| frame(*length, *masked)).collect();
            let mut headers = Headers::default();
            for piece in bytes.chunks(cut) {
                prop_assert_eq!(headers.follow(piece), piece.len());
            }
            prop_assert_eq!((headers.remaining, headers.filled), (0, 0));
        }
    }
}

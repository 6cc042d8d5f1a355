//! Parses frame headers, and limits the size, duration and rate of frames. A plain value.

use std::time::{Duration, Instant};

use crate::protocol::MAX_MESSAGE_BYTES;
use crate::session::connection::frame_rate::FrameRate;

/// Why the stream of frames ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame declared more bytes than a message may have.
    TooBig,
    /// A message was started, but not completed in time.
    MessageTimeout,
    /// Too many frames arrived.
    RateExceeded,
    /// The connection was lost.
    Disconnected,
}

/// How much of the bytes may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// All bytes. They end within a frame.
    All,
    /// This number of bytes, which end a frame.
    Frame(usize),
}

/// Follows a stream of frames and limits it.
#[derive(Debug)]
pub struct FrameLimiter {
    /// The bytes of the current header.
    header: [u8; 10],
    /// The number of header bytes that have arrived.
    header_len: u8,
    /// Whether the header of the current frame is complete.
    in_payload: bool,
    /// Whether the current message continues after the current frame.
    message_is_open: bool,
    /// The bytes of the current frame (mask and payload) that are still missing.
    remaining: u64,
    /// When the first byte of the current frame or message arrived.
    started_at: Option<Instant>,
    message_timeout: Duration,
    rate: FrameRate,
}

/// What the header of a frame declares.
struct FrameHeader {
    payload_len: u64,
    is_masked: bool,
}

impl FrameLimiter {
    /// Returns a limiter at the start of a stream. Every message must be complete within
    /// `message_timeout` after its first byte.
    #[must_use]
    pub fn new(now: Instant, message_timeout: Duration) -> Self {
        Self {
            header: [0; 10],
            header_len: 0,
            in_payload: false,
            message_is_open: false,
            remaining: 0,
            started_at: None,
            message_timeout,
            rate: FrameRate::new(now),
        }
    }

    /// Consumes bytes up to the end of the first frame in them.
    ///
    /// # Errors
    /// The limit that is exceeded. The stream must end then.
    pub fn consume(&mut self, bytes: &[u8], now: Instant) -> Result<Consumed, FrameError> {
        let elapsed = self.started_at.map(|started| now.saturating_duration_since(started));
        if elapsed.is_some_and(|elapsed| elapsed > self.message_timeout) {
            return Err(FrameError::MessageTimeout);
        }
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.in_payload {
                let skipped = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                at += skipped;
                self.remaining -= u64::try_from(skipped).unwrap_or(0);
            } else if let Some(byte) = rest.first() {
                self.started_at.get_or_insert(now);
                self.push_header_byte(*byte)?;
                at += 1;
            }
            if self.in_payload && self.remaining == 0 {
                self.end_frame(now)?;
                return Ok(Consumed::Frame(at));
            }
        }
        Ok(Consumed::All)
    }

    fn push_header_byte(&mut self, byte: u8) -> Result<(), FrameError> {
        let slot = self.header.get_mut(usize::from(self.header_len)).ok_or(FrameError::TooBig)?;
        *slot = byte;
        self.header_len += 1;
        if let Some(FrameHeader { payload_len, is_masked }) = self.complete_header() {
            if payload_len > u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX) {
                return Err(FrameError::TooBig);
            }
            self.remaining = payload_len + if is_masked { 4 } else { 0 };
            self.in_payload = true;
        }
        Ok(())
    }

    fn end_frame(&mut self, now: Instant) -> Result<(), FrameError> {
        let [first, ..] = self.header;
        let (is_last, is_control) = (first & 0x80 != 0, first & 0x08 != 0);
        (self.header_len, self.in_payload) = (0, false);
        if !is_control {
            self.message_is_open = !is_last;
        }
        if !self.message_is_open {
            self.started_at = None;
        }
        if self.rate.take(now) { Ok(()) } else { Err(FrameError::RateExceeded) }
    }

    /// Returns the header if all of its bytes have arrived.
    fn complete_header(&self) -> Option<FrameHeader> {
        let [_, second, extended @ ..] = &self.header;
        let is_masked = second & 0x80 != 0;
        let [a, b, ..] = *extended;
        let payload_len = match (second & 0x7f, self.header_len) {
            (length @ 0..=125, 2) => u64::from(length),
            (126, 4) => u64::from(u16::from_be_bytes([a, b])),
            (127, 10) => u64::from_be_bytes(*extended),
            _ => return None,
        };
        Some(FrameHeader { payload_len, is_masked })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);
    const TEXT: u8 = 0x81;
    const FIRST: u8 = 0x01;
    const MIDDLE: u8 = 0x00;
    const LAST: u8 = 0x80;
    const PING: u8 = 0x89;

    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
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
    fn oversized_frame_is_refused_at_its_header() {
        let now = Instant::now();
        for declared in [MAX_MESSAGE_BYTES + 1, 1 << 33, usize::MAX] {
            let mut limiter = FrameLimiter::new(now, TIMEOUT);
            let header = &frame(TEXT, declared, true)[..if declared > 0xffff { 10 } else { 4 }];
            assert_eq!(limiter.consume(header, now), Err(FrameError::TooBig), "{declared}");
        }
    }

    #[test]
    fn message_must_be_complete_in_time_despite_other_frames() {
        let start = Instant::now();
        let mut limiter = FrameLimiter::new(start, TIMEOUT);
        for (first, after, result) in [
            (TEXT, 0, Ok(())),
            (FIRST, 100, Ok(())),
            (MIDDLE, 130, Ok(())),
            (PING, 140, Ok(())),
            (LAST, 160, Ok(())),
            (PING, 300, Ok(())),
            (FIRST, 400, Ok(())),
            (PING, 461, Err(FrameError::MessageTimeout)),
        ] {
            let consumed = limiter.consume(&frame(first, 1, true), start + Duration::from_secs(after));
            assert_eq!(consumed.map(|_| ()), result, "{first} after {after} s");
        }
    }

    #[test]
    fn frame_must_be_complete_in_time() {
        let start = Instant::now();
        let mut limiter = FrameLimiter::new(start, TIMEOUT);
        let bytes = frame(PING, 100, true);
        let mut after = 0;
        let end = bytes.iter().find_map(|byte| {
            after += 1;
            limiter.consume(&[*byte], start + Duration::from_secs(after)).err()
        });
        assert_eq!((end, after), (Some(FrameError::MessageTimeout), 62));
    }

    #[test]
    fn burst_is_limited_and_hundred_frames_per_second_are_allowed() {
        let start = Instant::now();
        let ping = frame(PING, 0, true);
        let count = |every: Duration| {
            let mut limiter = FrameLimiter::new(start, TIMEOUT);
            let passes = |at: &u32| limiter.consume(&ping, start + every * *at).is_ok();
            (0..100_000).take_while(passes).count()
        };
        assert_eq!(count(Duration::ZERO), 1_000);
        assert_eq!(count(Duration::from_millis(10)), 100_000);
        assert!((1_900..2_100).contains(&count(Duration::from_millis(5))));
    }

    proptest! {
        #[test]
        fn allowed_frames_pass_one_by_one_however_the_bytes_are_split(
            frames in prop::collection::vec((0..MAX_MESSAGE_BYTES, prop::bool::ANY), 1..6),
            cut in 1_usize..5_000,
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = frames.iter().flat_map(|(length, masked)| frame(TEXT, *length, *masked)).collect();
            let mut limiter = FrameLimiter::new(now, TIMEOUT);
            let mut ended = 0;
            for mut piece in bytes.chunks(cut) {
                while let Consumed::Frame(length) = limiter.consume(piece, now).unwrap() {
                    ended += 1;
                    piece = &piece[length..];
                }
            }
            prop_assert_eq!((ended, limiter.started_at), (frames.len(), None));
        }
    }
}

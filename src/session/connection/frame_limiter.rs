//! Follows the frames in a stream of bytes and measures them against what one connection may send. A plain value.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::MAX_MESSAGE_BYTES;

/// Frames that may come at once: more than any conversation has, fewer than would be felt.
const FRAME_BURST: u32 = 1_000;

/// The time after which one more frame may come, which makes a hundred a second.
const FRAME_INTERVAL: Duration = Duration::from_millis(10);

/// Why the stream of frames ended, for the actor that sees only that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame declared more bytes than a message may have.
    TooBig,
    /// A message was begun and not ended in time.
    Unfinished,
    /// Too many frames came.
    Flooded,
    /// The connection is gone.
    Lost,
}

/// What may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Everything; it ends within a frame.
    All,
    /// So many bytes, which end a frame.
    Frame(usize),
}

/// The place in the stream: within which frame and which message, and how many more may come.
#[derive(Debug)]
pub struct FrameMeter {
    /// Bytes of the current header.
    header: [u8; 10],
    filled: u8,
    /// Within the frame behind a complete header.
    in_payload: bool,
    /// The current message goes on after the current frame.
    message_is_open: bool,
    /// Bytes of the current frame (mask and payload) that are still to come.
    remaining: u64,
    /// When the first byte of the current frame or message came.
    began_at: Option<Instant>,
    message_timeout: Duration,
    frames_left: u32,
    /// When the number of frames left was last raised.
    raised_at: Instant,
}

impl FrameMeter {
    /// At the start of a stream, every message of which must be whole within `message_timeout` of its first byte.
    #[must_use]
    pub fn begin(now: Instant, message_timeout: Duration) -> Self {
        Self {
            header: [0; 10],
            filled: 0,
            in_payload: false,
            message_is_open: false,
            remaining: 0,
            began_at: None,
            message_timeout,
            frames_left: FRAME_BURST,
            raised_at: now,
        }
    }

    /// Follows the next bytes up to the end of the first frame in them.
    ///
    /// # Errors
    /// Why nothing more may pass.
    pub fn follow(&mut self, bytes: &[u8], now: Instant) -> Result<Passed, Broken> {
        if self.began_at.is_some_and(|began| now.saturating_duration_since(began) > self.message_timeout) {
            return Err(Broken::Unfinished);
        }
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.in_payload {
                let skipped = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                at += skipped;
                self.remaining -= u64::try_from(skipped).unwrap_or(0);
            } else {
                self.began_at.get_or_insert(now);
                let (Some(next), Some(slot)) = (rest.first(), self.header.get_mut(usize::from(self.filled)))
                else {
                    return Err(Broken::TooBig);
                };
                *slot = *next;
                self.filled += 1;
                at += 1;
                if let Some((payload, masked)) = self.complete() {
                    if payload > u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX) {
                        return Err(Broken::TooBig);
                    }
                    self.remaining = payload + if masked { 4 } else { 0 };
                    self.in_payload = true;
                }
            }
            if self.in_payload && self.remaining == 0 {
                self.end_frame(now)?;
                return Ok(Passed::Frame(at));
            }
        }
        Ok(Passed::All)
    }

    fn end_frame(&mut self, now: Instant) -> Result<(), Broken> {
        let [first, ..] = self.header;
        let (is_last, is_control) = (first & 0x80 != 0, first & 0x08 != 0);
        (self.filled, self.in_payload) = (0, false);
        if !is_control {
            self.message_is_open = !is_last;
        }
        if !self.message_is_open {
            self.began_at = None;
        }
        let passed = now.saturating_duration_since(self.raised_at).as_millis() / FRAME_INTERVAL.as_millis();
        let raise = u32::try_from(passed).unwrap_or(FRAME_BURST).min(FRAME_BURST);
        if raise > 0 {
            self.frames_left = self.frames_left.saturating_add(raise).min(FRAME_BURST);
            self.raised_at = now;
        }
        self.frames_left = self.frames_left.checked_sub(1).ok_or(Broken::Flooded)?;
        Ok(())
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
    fn a_header_that_declares_too_much_is_stopped_at_the_header() {
        let now = Instant::now();
        for declared in [MAX_MESSAGE_BYTES + 1, 1 << 33, usize::MAX] {
            let mut meter = FrameMeter::begin(now, TIMEOUT);
            let header = &frame(TEXT, declared, true)[..if declared > 0xffff { 10 } else { 4 }];
            assert_eq!(meter.follow(header, now), Err(Broken::TooBig), "{declared}");
        }
    }

    #[test]
    fn a_message_must_end_in_time_whatever_comes_between_its_fragments() {
        let start = Instant::now();
        let mut meter = FrameMeter::begin(start, TIMEOUT);
        for (first, after, result) in [
            (TEXT, 0, Ok(())),
            (FIRST, 100, Ok(())),
            (MIDDLE, 130, Ok(())),
            (PING, 140, Ok(())),
            (LAST, 160, Ok(())),
            (PING, 300, Ok(())),
            (FIRST, 400, Ok(())),
            (PING, 461, Err(Broken::Unfinished)),
        ] {
            let passed = meter.follow(&frame(first, 1, true), start + Duration::from_secs(after));
            assert_eq!(passed.map(|_| ()), result, "{first} after {after} s");
        }
    }

    #[test]
    fn a_frame_must_end_in_time_too() {
        let start = Instant::now();
        let mut meter = FrameMeter::begin(start, TIMEOUT);
        let bytes = frame(PING, 100, true);
        let mut after = 0;
        let end = bytes.iter().find_map(|byte| {
            after += 1;
            meter.follow(&[*byte], start + Duration::from_secs(after)).err()
        });
        assert_eq!((end, after), (Some(Broken::Unfinished), 62));
    }

    #[test]
    fn a_flood_of_frames_is_stopped_and_a_steady_hundred_a_second_is_not() {
        let start = Instant::now();
        let ping = frame(PING, 0, true);
        let count = |every: Duration| {
            let mut meter = FrameMeter::begin(start, TIMEOUT);
            let passes = |at: &u32| meter.follow(&ping, start + every * *at).is_ok();
            (0..100_000).take_while(passes).count()
        };
        assert_eq!(count(Duration::ZERO), 1_000);
        assert_eq!(count(Duration::from_millis(10)), 100_000);
        assert!((1_900..2_100).contains(&count(Duration::from_millis(5))));
    }

    proptest! {
        #[test]
        fn allowed_frames_pass_one_by_one_however_the_bytes_are_cut(
            frames in prop::collection::vec((0..MAX_MESSAGE_BYTES, prop::bool::ANY), 1..6),
            cut in 1_usize..5_000,
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = frames.iter().flat_map(|(length, masked)| frame(TEXT, *length, *masked)).collect();
            let mut meter = FrameMeter::begin(now, TIMEOUT);
            let mut ended = 0;
            for mut piece in bytes.chunks(cut) {
                while let Passed::Frame(length) = meter.follow(piece, now).unwrap() {
                    ended += 1;
                    piece = &piece[length..];
                }
            }
            prop_assert_eq!((ended, meter.began_at), (frames.len(), None));
        }
    }
}

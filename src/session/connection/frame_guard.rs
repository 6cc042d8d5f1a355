//! Forwards incoming frames one by one, and ends the stream at a frame that breaks a limit.
//!
//! The codec after it checks the length of a frame only when the whole frame has arrived, so
//! without this guard a header that declares gigabytes would be buffered as long as the client
//! keeps sending. It also reads everything that is available before it decodes the first frame, so
//! many small frames would accumulate in its buffer.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

pub use crate::session::connection::frame_limiter::FrameError;
use crate::session::connection::frame_limiter::{Consumed, FrameLimiter};

/// The error that ended the stream, shared between the guard and the actor, which run on one
/// thread.
pub type FrameErrorCell = Rc<Cell<Option<FrameError>>>;

/// Yields the frames of `payload` until one breaks a limit; then it yields one error and ends.
pub struct FrameGuard<S> {
    payload: S,
    limiter: FrameLimiter,
    /// What was received after the frame that was yielded last.
    buffered: Bytes,
    /// Whether the codec must decode a complete frame before it receives more bytes.
    is_paused: bool,
    error: FrameErrorCell,
    has_ended: bool,
}

impl<S> FrameGuard<S> {
    /// Returns a guard for `payload`, which stores the reason in `error` if it ends the stream.
    pub fn new(payload: S, message_timeout: Duration, error: FrameErrorCell) -> Self {
        let limiter = FrameLimiter::new(Instant::now(), message_timeout);
        Self { payload, limiter, buffered: Bytes::new(), is_paused: false, error, has_ended: false }
    }

    fn fail(&mut self, error: FrameError) -> PayloadError {
        self.has_ended = true;
        self.error.set(Some(error));
        PayloadError::Io(io::Error::other("the stream of frames ended with an error"))
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for FrameGuard<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        // No waker is needed: the codec polls again after it has decoded the frame.
        if std::mem::take(&mut self.is_paused) {
            return Poll::Pending;
        }
        if self.buffered.is_empty() {
            match std::task::ready!(Pin::new(&mut self.payload).poll_next(cx)) {
                Some(Ok(bytes)) => self.buffered = bytes,
                Some(Err(_)) => return Poll::Ready(Some(Err(self.fail(FrameError::Disconnected)))),
                None => {
                    self.has_ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        let mut buffered = std::mem::take(&mut self.buffered);
        Poll::Ready(Some(match self.limiter.consume(&buffered, Instant::now()) {
            Ok(Consumed::All) => Ok(buffered),
            Ok(Consumed::Frame(length)) => {
                self.is_paused = true;
                let frame = buffered.split_to(length);
                self.buffered = buffered;
                Ok(frame)
            }
            Err(error) => Err(self.fail(error)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const PINGS: &[u8] = &[0x89, 0x80, 1, 2, 3, 4, 0x89, 0x80, 1, 2, 3, 4, 0x89];

    #[tokio::test]
    async fn frames_of_one_chunk_are_yielded_one_by_one() {
        let payload = stream::iter([Ok(Bytes::from_static(PINGS))]);
        let mut guard = FrameGuard::new(payload, Duration::from_secs(60), FrameErrorCell::default());
        let mut cx = Context::from_waker(futures_util::task::noop_waker_ref());
        for _ in 0..2 {
            let frame = guard.poll_next_unpin(&mut cx);
            assert!(matches!(frame, Poll::Ready(Some(Ok(bytes))) if bytes.len() == 6));
            assert!(guard.poll_next_unpin(&mut cx).is_pending(), "the frame must be decoded first");
        }
        assert!(matches!(guard.poll_next_unpin(&mut cx), Poll::Ready(Some(Ok(bytes))) if bytes.len() == 1));
        assert!(matches!(guard.poll_next_unpin(&mut cx), Poll::Ready(None)));
    }
}

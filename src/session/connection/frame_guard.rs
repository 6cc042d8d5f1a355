//! Hands inbound frames on one by one, and stops at one that is too large, too late or one too many.
//!
//! The codec behind it looks at a frame's length only when the whole frame has arrived, so without this a header that
//! declares gigabytes would be buffered for as long as the client cares to send. And what is behind it takes in all
//! that is there before it decodes a single frame, so many small ones would pile up in its buffer.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

pub use crate::session::connection::frame_limiter::Broken;
use crate::session::connection::frame_limiter::{FrameMeter, Passed};

/// Shared between the guard and the actor behind it, both on one thread.
pub type BrokenCell = Rc<Cell<Option<Broken>>>;

/// Lets the frames of `payload` pass until one breaks a bound; then it yields one error and ends.
pub struct FrameGuard<S> {
    payload: S,
    meter: FrameMeter,
    /// What has come behind the frame that was handed on last.
    held: Bytes,
    /// A whole frame was handed on and is to be decoded first.
    paused: bool,
    broken: BrokenCell,
    ended: bool,
}

impl<S> FrameGuard<S> {
    /// Guards a payload; `broken` will say why the stream ended, if it was not the client's wish.
    pub fn new(payload: S, message_timeout: Duration, broken: BrokenCell) -> Self {
        let meter = FrameMeter::begin(Instant::now(), message_timeout);
        Self { payload, meter, held: Bytes::new(), paused: false, broken, ended: false }
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
        // Nobody need be woken: whoever took a whole frame decodes it and then comes back for the next one.
        if std::mem::take(&mut self.paused) {
            return Poll::Pending;
        }
        if self.held.is_empty() {
            match std::task::ready!(Pin::new(&mut self.payload).poll_next(cx)) {
                Some(Ok(bytes)) => self.held = bytes,
                Some(Err(_)) => return Poll::Ready(Some(Err(self.end(Broken::Lost)))),
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        let mut held = std::mem::take(&mut self.held);
        Poll::Ready(Some(match self.meter.follow(&held, Instant::now()) {
            Ok(Passed::All) => Ok(held),
            Ok(Passed::Frame(length)) => {
                self.paused = true;
                let frame = held.split_to(length);
                self.held = held;
                Ok(frame)
            }
            Err(broken) => Err(self.end(broken)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const PINGS: &[u8] = &[0x89, 0x80, 1, 2, 3, 4, 0x89, 0x80, 1, 2, 3, 4, 0x89];

    #[tokio::test]
    async fn frames_that_came_together_are_handed_on_one_by_one() {
        let payload = stream::iter([Ok(Bytes::from_static(PINGS))]);
        let mut guard = FrameGuard::new(payload, Duration::from_secs(60), BrokenCell::default());
        let mut cx = Context::from_waker(futures_util::task::noop_waker_ref());
        for _ in 0..2 {
            let frame = guard.poll_next_unpin(&mut cx);
            assert!(matches!(frame, Poll::Ready(Some(Ok(bytes))) if bytes.len() == 6));
            assert!(guard.poll_next_unpin(&mut cx).is_pending(), "the frame is to be decoded first");
        }
        assert!(matches!(guard.poll_next_unpin(&mut cx), Poll::Ready(Some(Ok(bytes))) if bytes.len() == 1));
        assert!(matches!(guard.poll_next_unpin(&mut cx), Poll::Ready(None)));
    }
}

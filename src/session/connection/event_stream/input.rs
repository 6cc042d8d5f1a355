//! The frames that clients post, in the order in which a session handles them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use std::vec;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::session::connection::frame_guard::FrameError;
use crate::session::connection::frame_rate::FrameRate;

/// The maximum number of posted frames that wait for their session, which handles them at once
/// unless it waits for the store. Two full requests, at most 256 KiB.
const QUEUE_CAPACITY: usize = 16;

/// What a session receives through an event stream.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamInput {
    /// A frame, which need not be valid.
    Frame(String),
    /// The keep-alive comment was written, which proves that the client reads.
    Pong,
    /// The client sends nothing more: close the stream when everything it asked for is done.
    End,
}

/// Frames cannot be passed to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The frames before them wait for the session.
    Full,
    /// The session has ended.
    Ended,
}

/// Where posted frames enter.
#[derive(Clone, Debug)]
pub struct FrameQueue(mpsc::Sender<String>);

/// Where the output reports that a keep-alive comment was written.
#[derive(Debug)]
pub struct PongSender(mpsc::Sender<()>);

/// The input of one session: the first frames, then the posted ones, with pongs in between.
#[derive(Debug)]
pub struct InputStream {
    first: vec::IntoIter<StreamInput>,
    posted: mpsc::Receiver<String>,
    pongs: mpsc::Receiver<()>,
    rate: FrameRate,
    has_ended: bool,
}

impl FrameQueue {
    /// Adds frames: all of them, or none.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn push(&self, frames: Vec<String>) -> Result<(), QueueError> {
        let permits = self.0.try_reserve_many(frames.len()).map_err(|error| match error {
            TrySendError::Full(()) => QueueError::Full,
            TrySendError::Closed(()) => QueueError::Ended,
        })?;
        permits.zip(frames).for_each(|(permit, frame)| permit.send(frame));
        Ok(())
    }
}

impl PongSender {
    /// Reports a written comment. The session needs to know of one only.
    pub fn send(&self) {
        let _ = self.0.try_send(());
    }
}

/// Returns the input of a session that handles `first` before all other frames, and both of its
/// entrances.
#[must_use]
pub fn channel(first: Vec<StreamInput>) -> (InputStream, FrameQueue, PongSender) {
    let (frame_sender, posted) = mpsc::channel(QUEUE_CAPACITY);
    let (pong_sender, pongs) = mpsc::channel(1);
    let rate = FrameRate::new(Instant::now());
    let input = InputStream { first: first.into_iter(), posted, pongs, rate, has_ended: false };
    (input, FrameQueue(frame_sender), PongSender(pong_sender))
}

impl InputStream {
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamInput>> {
        if let Poll::Ready(Some(())) = self.pongs.poll_recv(cx) {
            return Poll::Ready(Some(StreamInput::Pong));
        }
        match self.first.next() {
            Some(input) => Poll::Ready(Some(input)),
            None => self.posted.poll_recv(cx).map(|frame| frame.map(StreamInput::Frame)),
        }
    }
}

impl Stream for InputStream {
    type Item = Result<StreamInput, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let Some(input) = std::task::ready!(self.poll_input(cx)) else { return Poll::Ready(None) };
        if self.rate.take(Instant::now()) {
            return Poll::Ready(Some(Ok(input)));
        }
        self.has_ended = true;
        Poll::Ready(Some(Err(FrameError::RateExceeded)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn frames(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Returns everything that is available now.
    fn drain(input: &mut InputStream) -> Vec<Result<StreamInput, FrameError>> {
        std::iter::from_fn(|| input.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn first_frames_come_before_posted_ones() {
        let first = vec![StreamInput::Frame("a".to_owned()), StreamInput::End];
        let (mut input, queue, pongs) = channel(first);
        queue.push(frames(&["b", "c"])).unwrap();
        pongs.send();
        pongs.send();
        let expected = [
            StreamInput::Pong,
            StreamInput::Frame("a".to_owned()),
            StreamInput::End,
            StreamInput::Frame("b".to_owned()),
            StreamInput::Frame("c".to_owned()),
        ];
        assert_eq!(drain(&mut input), expected.map(Ok));
    }

    #[test]
    fn request_that_does_not_fit_is_rejected_as_a_whole() {
        let (mut input, queue, _pongs) = channel(Vec::new());
        queue.push(frames(&["x"; QUEUE_CAPACITY - 1])).unwrap();
        assert_eq!(queue.push(frames(&["y", "z"])), Err(QueueError::Full));
        assert_eq!(drain(&mut input).len(), QUEUE_CAPACITY - 1);
        queue.push(frames(&["y", "z"])).unwrap();
        drop(input);
        assert_eq!(queue.push(frames(&["a"])), Err(QueueError::Ended));
    }

    #[test]
    fn burst_is_limited_and_ends_the_input() {
        let (mut input, queue, _pongs) = channel(Vec::new());
        let results: Vec<_> = (0..200)
            .flat_map(|_| {
                let _ = queue.push(frames(&["{}"; 8]));
                drain(&mut input)
            })
            .collect();
        assert_eq!(results.last(), Some(&Err(FrameError::RateExceeded)));
        assert!((1_000..1_100).contains(&results.len()), "{}", results.len());
    }
}

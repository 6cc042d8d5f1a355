//! One reader of a generation log: a stream that keeps its own place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use crate::domain::failure::Failure;
use crate::llm::stream::generation::{Acceptance, Generation, Outcome, Place, Reading};
use crate::protocol::server::DeltaFrame;

/// What a session is told of an answer, in order: one acceptance, positions while it waits, deltas and perhaps resets, one
/// outcome. After a refusal nothing follows.
#[derive(Debug)]
pub enum Progress {
    /// The question was taken.
    Accepted(Acceptance),
    /// The question was not taken; there will be no answer.
    Refused(Failure),
    /// It waits for the model: so many are answered before it, and itself.
    Queued(usize),
    /// More of the answer.
    Delta(DeltaFrame),
    /// What was said of the answer is void; it begins again.
    Reset,
    /// The answer has ended.
    Ended(Arc<Outcome>),
}

/// The stream of a generation's [`Progress`] from one place on. Counts as a listener until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    generation: Arc<Generation>,
    place: Place,
    /// Deltas up to this one were there before the subscription was: they are said again.
    replay_until: u64,
    knows_acceptance: bool,
    position: Option<usize>,
    ended: bool,
    /// There is more, but for the next poll: what a single one puts into the socket's buffer stays small.
    paused: bool,
}

impl Subscription {
    pub(crate) fn new(generation: Arc<Generation>, place: Place) -> Self {
        Self {
            generation,
            place,
            replay_until: 0,
            knows_acceptance: false,
            position: None,
            ended: false,
            paused: false,
        }
    }

    /// Marks what is in the log already as said again, for a client that comes back.
    #[must_use]
    pub fn replaying(mut self) -> Self {
        self.replay_until = self.generation.last_seq();
        self
    }

    /// Skips the acceptance: the client knows that its question was taken.
    #[must_use]
    pub fn accepted_before(mut self) -> Self {
        self.knows_acceptance = true;
        self
    }
}

impl Stream for Subscription {
    type Item = Progress;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let progress =
            match ready!(self.generation.poll_after(self.place, self.knows_acceptance, self.position, cx)) {
                Reading::Acceptance(Ok(acceptance)) => {
                    self.knows_acceptance = true;
                    Progress::Accepted(acceptance)
                }
                Reading::Acceptance(Err(failure)) => {
                    self.ended = true;
                    Progress::Refused(failure)
                }
                Reading::Position(position) => {
                    self.position = Some(position);
                    Progress::Queued(position)
                }
                Reading::Text { place, text, more } => {
                    self.place = place;
                    self.paused = more;
                    let seq = place.seq();
                    let replay = seq <= self.replay_until;
                    Progress::Delta(DeltaFrame { turn_id: self.generation.turn_id, seq, text, replay })
                }
                Reading::Reset(place) => {
                    self.place = place;
                    self.replay_until = 0;
                    Progress::Reset
                }
                Reading::Outcome(outcome) => {
                    self.ended = true;
                    Progress::Ended(outcome)
                }
            };
        Poll::Ready(Some(progress))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.generation.unsubscribe();
    }
}

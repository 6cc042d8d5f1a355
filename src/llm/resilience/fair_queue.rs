//! A bounded queue that serves visitors in turn, regardless of how many questions each visitor has
//! queued. A plain value.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::AddressKey;

/// The weight of a new hold time in the moving average is the inverse of this.
const SMOOTHING: u32 = 8;

/// Permits and the queue for them. Each visitor has a lane; the lanes are served round robin.
#[derive(Debug)]
pub struct FairQueue<T> {
    permits: usize,
    in_use: usize,
    max_waiting: usize,
    max_wait: Duration,
    waiting: usize,
    last_ticket: u64,
    /// The lanes of the visitors that wait, the next one to serve first.
    lanes: VecDeque<Lane<T>>,
    /// The moving average of how long a permit is held; `None` until one was released.
    mean_hold_time: Option<Duration>,
}

#[derive(Debug)]
struct Lane<T> {
    visitor: AddressKey,
    waiting: VecDeque<(Ticket, T)>,
}

/// Identifies a waiting question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// The result of joining the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// A permit was available.
    Admitted,
    /// The question waits.
    Queued(Ticket),
}

/// The queue is full, or the expected wait is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull {
    /// When a retry may succeed; `None` until a permit was released and the wait can be estimated.
    pub retry_after: Option<Duration>,
}

impl<T> FairQueue<T> {
    /// Returns a queue for `permits` permits. At most `max_waiting` questions wait, and each waits
    /// at most `max_wait`.
    #[must_use]
    pub fn new(permits: usize, max_waiting: usize, max_wait: Duration) -> Self {
        Self {
            permits,
            in_use: 0,
            max_waiting,
            max_wait,
            waiting: 0,
            last_ticket: 0,
            lanes: VecDeque::new(),
            mean_hold_time: None,
        }
    }

    /// Takes a permit or joins the queue. [`Self::release`] returns `entry` when the permit is
    /// passed to it.
    ///
    /// # Errors
    /// Returns [`QueueFull`] if the queue is full or the expected wait exceeds the maximum.
    pub fn join(&mut self, visitor: AddressKey, entry: T) -> Result<Admission, QueueFull> {
        if self.in_use < self.permits {
            self.in_use += 1;
            return Ok(Admission::Admitted);
        }
        let lane = self.lanes.iter().position(|lane| lane.visitor == visitor);
        let depth = lane.and_then(|lane| self.lanes.get(lane)).map_or(0, |lane| lane.waiting.len());
        let position = self.count_ahead(lane.unwrap_or(self.lanes.len()), depth) + 1;
        let wait = self.expected_wait(position);
        let excess = wait.and_then(|wait| wait.checked_sub(self.max_wait)).filter(|excess| !excess.is_zero());
        if self.waiting >= self.max_waiting || excess.is_some() {
            return Err(QueueFull { retry_after: excess.or(wait) });
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        match lane.and_then(|lane| self.lanes.get_mut(lane)) {
            Some(lane) => lane.waiting.push_back((ticket, entry)),
            None => self.lanes.push_back(Lane { visitor, waiting: VecDeque::from([(ticket, entry)]) }),
        }
        self.waiting += 1;
        Ok(Admission::Queued(ticket))
    }

    /// Releases a permit that was held for `held`. Returns the entry that receives the permit, if
    /// any waits.
    pub fn release(&mut self, held: Duration) -> Option<T> {
        let mean = self.mean_hold_time.unwrap_or(held);
        self.mean_hold_time = Some(mean - mean / SMOOTHING + held / SMOOTHING);
        let Some(mut lane) = self.lanes.pop_front() else {
            self.in_use = self.in_use.saturating_sub(1);
            return None;
        };
        let next = lane.waiting.pop_front();
        if !lane.waiting.is_empty() {
            self.lanes.push_back(lane);
        }
        self.waiting = self.waiting.saturating_sub(1);
        next.map(|(_, entry)| entry)
    }

    /// Leaves the queue. Has no effect after `ticket` has received its permit.
    pub fn leave(&mut self, visitor: AddressKey, ticket: Ticket) {
        let Some(index) = self.lanes.iter().position(|lane| lane.visitor == visitor) else { return };
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let before = lane.waiting.len();
        lane.waiting.retain(|(other, _)| *other != ticket);
        self.waiting -= before - lane.waiting.len();
        if lane.waiting.is_empty() {
            self.lanes.remove(index);
        }
    }

    /// Returns the position in the order of service, counted from 1, or `None` after `ticket` has
    /// received its permit.
    #[must_use]
    pub fn position(&self, visitor: AddressKey, ticket: Ticket) -> Option<usize> {
        let lane = self.lanes.iter().position(|lane| lane.visitor == visitor)?;
        let depth = self.lanes.get(lane)?.waiting.iter().position(|(other, _)| *other == ticket)?;
        Some(self.count_ahead(lane, depth) + 1)
    }

    /// Returns the number of waiting questions.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the number of permits in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Counts the questions that are served before the one at `depth` of a lane. Lanes ahead of it
    /// are served once more than those behind it.
    fn count_ahead(&self, lane: usize, depth: usize) -> usize {
        let other_lanes = self.lanes.iter().enumerate().filter(|(index, _)| *index != lane);
        let ahead =
            other_lanes.map(|(index, other)| other.waiting.len().min(depth + usize::from(index < lane)));
        ahead.sum::<usize>() + depth
    }

    /// Returns how long the question at `position` waits if permits are held for the mean time.
    fn expected_wait(&self, position: usize) -> Option<Duration> {
        let rounds = u32::try_from(position).unwrap_or(u32::MAX);
        let permits = u32::try_from(self.permits).unwrap_or(u32::MAX).max(1);
        Some(self.mean_hold_time?.saturating_mul(rounds) / permits)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn visitor(number: u8) -> AddressKey {
        AddressKey::from_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn full_queue(max_waiting: usize) -> FairQueue<u8> {
        let mut queue = FairQueue::new(1, max_waiting, 10 * SECOND);
        assert_eq!(queue.join(visitor(0), 0), Ok(Admission::Admitted));
        queue
    }

    fn enqueue(queue: &mut FairQueue<u8>, number: u8) -> Ticket {
        match queue.join(visitor(number), number) {
            Ok(Admission::Queued(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn visitor_with_many_questions_is_served_in_turn_with_others() {
        let mut queue = full_queue(10);
        for _ in 0..3 {
            enqueue(&mut queue, 1);
        }
        let second = enqueue(&mut queue, 2);
        assert_eq!(queue.position(visitor(2), second), Some(2));
        let served: Vec<u8> = std::iter::from_fn(|| queue.release(SECOND)).collect();
        assert_eq!(served, [1, 2, 1, 1]);
        assert_eq!((queue.in_use(), queue.waiting()), (0, 0));
    }

    #[test]
    fn question_that_leaves_is_skipped() {
        let mut queue = full_queue(10);
        let (first, second) = (enqueue(&mut queue, 1), enqueue(&mut queue, 2));
        queue.leave(visitor(1), first);
        assert_eq!((queue.position(visitor(1), first), queue.position(visitor(2), second)), (None, Some(1)));
        queue.leave(visitor(1), first);
        assert_eq!((queue.waiting(), queue.release(SECOND)), (1, Some(2)));
        assert_eq!(queue.position(visitor(2), second), None);
    }

    #[test]
    fn full_or_slow_queue_rejects_with_the_time_to_retry() {
        let mut queue = full_queue(2);
        let refused = |retry_after| Err(QueueFull { retry_after });
        enqueue(&mut queue, 1);
        enqueue(&mut queue, 2);
        assert_eq!(queue.join(visitor(3), 3), refused(None));
        // Permits are held for eight seconds: the first in the queue waits eight seconds, the
        // second sixteen, which is too long.
        assert_eq!(queue.release(8 * SECOND), Some(1));
        assert_eq!(queue.join(visitor(3), 3), refused(Some(6 * SECOND)));
        assert_eq!(queue.release(8 * SECOND), Some(2));
        assert!(queue.join(visitor(3), 3).is_ok());
    }

    proptest! {
        #[test]
        fn position_is_the_place_in_the_order_of_service(
            joins in prop::collection::vec(0_u8..6, 1..40),
            leaves in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut queue = full_queue(100);
            let mut tickets: Vec<(u8, Ticket)> =
                joins.iter().map(|number| (*number, enqueue(&mut queue, *number))).collect();
            for index in leaves {
                if tickets.len() > 1 {
                    let (number, ticket) = tickets.swap_remove(index.index(tickets.len()));
                    queue.leave(visitor(number), ticket);
                }
            }
            let mut expected: Vec<(usize, u8)> =
                tickets.iter().map(|(number, ticket)| (queue.position(visitor(*number), *ticket).unwrap(), *number)).collect();
            expected.sort_unstable();
            let order: Vec<usize> = expected.iter().map(|(position, _)| *position).collect();
            prop_assert_eq!(order, (1..=tickets.len()).collect::<Vec<_>>());
            let served: Vec<u8> = std::iter::from_fn(|| queue.release(Duration::ZERO)).collect();
            prop_assert_eq!(served, expected.iter().map(|(_, number)| *number).collect::<Vec<_>>());
        }

        #[test]
        fn no_visitor_waits_longer_than_a_round(
            joins in prop::collection::vec(0_u8..4, 1..40),
        ) {
            let mut queue = full_queue(100);
            for number in &joins {
                enqueue(&mut queue, *number);
            }
            let served: Vec<u8> = std::iter::from_fn(|| queue.release(Duration::ZERO)).collect();
            for number in 0_u8..4 {
                let mut turns = served.iter().enumerate().filter(|(_, visitor)| **visitor == number).map(|(turn, _)| turn);
                let Some(mut last) = turns.next() else { continue };
                prop_assert!(last < 4, "{:?}", served);
                for turn in turns {
                    prop_assert!(turn - last <= 4, "{:?}", served);
                    last = turn;
                }
            }
        }
    }
}

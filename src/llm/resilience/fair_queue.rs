//! Who is answered next: every visitor in turn, however many questions one of them has waiting. A plain value.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::AddressKey;

/// How much of the mean holding time a new one makes up: the inverse of this.
const SMOOTHING: u32 = 8;

/// Places at the model and the line in front of them. Visitors take turns, each in the order it asked in.
#[derive(Debug)]
pub struct FairQueue<T> {
    places: usize,
    taken: usize,
    most_waiting: usize,
    patience: Duration,
    waiting: usize,
    next_ticket: u64,
    /// The visitors that wait, the next one first.
    lanes: VecDeque<Lane<T>>,
    /// How long a place is held, on the average of late.
    holding: Option<Duration>,
}

#[derive(Debug)]
struct Lane<T> {
    visitor: AddressKey,
    waiting: VecDeque<(Ticket, T)>,
}

/// The number of one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of a wish for a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// It has one.
    AtOnce,
    /// It waits under this number.
    Waits(Ticket),
}

/// The line is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong {
    /// After this long it may be worth trying again; `None` while nobody knows how fast it moves.
    pub retry_after: Option<Duration>,
}

impl<T> FairQueue<T> {
    /// So many places, a line of at most so many, each of whom is ready to wait so long.
    #[must_use]
    pub fn new(places: usize, most_waiting: usize, patience: Duration) -> Self {
        let lanes = VecDeque::new();
        Self { places, taken: 0, most_waiting, patience, waiting: 0, next_ticket: 0, lanes, holding: None }
    }

    /// Takes a place, or joins the line; `who` is handed back when its turn comes.
    ///
    /// # Errors
    /// [`LineTooLong`] when the line is full, or moves so slowly that the patience would end first.
    pub fn join(&mut self, visitor: AddressKey, who: T) -> Result<Joined, LineTooLong> {
        if self.taken < self.places {
            self.taken += 1;
            return Ok(Joined::AtOnce);
        }
        let lane = self.lanes.iter().position(|lane| lane.visitor == visitor);
        let depth = lane.and_then(|lane| self.lanes.get(lane)).map_or(0, |lane| lane.waiting.len());
        let position = self.before(lane.unwrap_or(self.lanes.len()), depth) + 1;
        let wait = self.expected_wait(position);
        let excess = wait.and_then(|wait| wait.checked_sub(self.patience)).filter(|it| !it.is_zero());
        if self.waiting >= self.most_waiting || excess.is_some() {
            return Err(LineTooLong { retry_after: excess.or(wait) });
        }
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        match lane.and_then(|lane| self.lanes.get_mut(lane)) {
            Some(lane) => lane.waiting.push_back((ticket, who)),
            None => self.lanes.push_back(Lane { visitor, waiting: VecDeque::from([(ticket, who)]) }),
        }
        self.waiting += 1;
        Ok(Joined::Waits(ticket))
    }

    /// Gives a place back that was held for so long. It goes to whom this returns, if anybody waits.
    pub fn give_back(&mut self, held: Duration) -> Option<T> {
        let mean = self.holding.unwrap_or(held);
        self.holding = Some(mean - mean / SMOOTHING + held / SMOOTHING);
        let Some(mut lane) = self.lanes.pop_front() else {
            self.taken = self.taken.saturating_sub(1);
            return None;
        };
        let next = lane.waiting.pop_front();
        if !lane.waiting.is_empty() {
            self.lanes.push_back(lane);
        }
        self.waiting = self.waiting.saturating_sub(1);
        next.map(|(_, who)| who)
    }

    /// Leaves the line; nothing happens when its turn has come.
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

    /// How many are answered before it, and itself; `None` when its turn has come.
    #[must_use]
    pub fn position(&self, visitor: AddressKey, ticket: Ticket) -> Option<usize> {
        let lane = self.lanes.iter().position(|lane| lane.visitor == visitor)?;
        let depth = self.lanes.get(lane)?.waiting.iter().position(|(other, _)| *other == ticket)?;
        Some(self.before(lane, depth) + 1)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many places are held.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Those who come before the one at `depth` of a lane: of each lane ahead one more than of those behind.
    fn before(&self, lane: usize, depth: usize) -> usize {
        let of_others = self.lanes.iter().enumerate().filter(|(index, _)| *index != lane);
        let before =
            of_others.map(|(index, other)| other.waiting.len().min(depth + usize::from(index < lane)));
        before.sum::<usize>() + depth
    }

    /// How long the one at this position waits if places are held as long as they were of late.
    fn expected_wait(&self, position: usize) -> Option<Duration> {
        let rounds = u32::try_from(position).unwrap_or(u32::MAX);
        let places = u32::try_from(self.places).unwrap_or(u32::MAX).max(1);
        Some(self.holding?.saturating_mul(rounds) / places)
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

    fn full(most_waiting: usize) -> FairQueue<u8> {
        let mut queue = FairQueue::new(1, most_waiting, 10 * SECOND);
        assert_eq!(queue.join(visitor(0), 0), Ok(Joined::AtOnce));
        queue
    }

    fn waits(queue: &mut FairQueue<u8>, number: u8) -> Ticket {
        match queue.join(visitor(number), number) {
            Ok(Joined::Waits(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_visitor_with_many_questions_lets_another_in_after_one() {
        let mut queue = full(10);
        for _ in 0..3 {
            waits(&mut queue, 1);
        }
        let second = waits(&mut queue, 2);
        assert_eq!(queue.position(visitor(2), second), Some(2));
        let served: Vec<u8> = std::iter::from_fn(|| queue.give_back(SECOND)).collect();
        assert_eq!(served, [1, 2, 1, 1]);
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut queue = full(10);
        let (first, second) = (waits(&mut queue, 1), waits(&mut queue, 2));
        queue.leave(visitor(1), first);
        assert_eq!((queue.position(visitor(1), first), queue.position(visitor(2), second)), (None, Some(1)));
        queue.leave(visitor(1), first);
        assert_eq!((queue.waiting(), queue.give_back(SECOND)), (1, Some(2)));
        assert_eq!(queue.position(visitor(2), second), None);
    }

    #[test]
    fn a_line_that_is_full_or_too_slow_is_refused_with_the_time_to_come_back() {
        let mut queue = full(2);
        let refused = |retry_after| Err(LineTooLong { retry_after });
        waits(&mut queue, 1);
        waits(&mut queue, 2);
        assert_eq!(queue.join(visitor(3), 3), refused(None));
        // Places are held for eight seconds: the first in line waits eight, the second sixteen, which is too long.
        assert_eq!(queue.give_back(8 * SECOND), Some(1));
        assert_eq!(queue.join(visitor(3), 3), refused(Some(6 * SECOND)));
        assert_eq!(queue.give_back(8 * SECOND), Some(2));
        assert!(queue.join(visitor(3), 3).is_ok());
    }

    proptest! {
        #[test]
        fn the_position_told_is_the_place_in_the_order_of_service(
            joins in prop::collection::vec(0_u8..6, 1..40),
            leaves in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut queue = full(100);
            let mut tickets: Vec<(u8, Ticket)> =
                joins.iter().map(|number| (*number, waits(&mut queue, *number))).collect();
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
            let served: Vec<u8> = std::iter::from_fn(|| queue.give_back(Duration::ZERO)).collect();
            prop_assert_eq!(served, expected.iter().map(|(_, number)| *number).collect::<Vec<_>>());
        }

        #[test]
        fn no_visitor_is_served_twice_while_another_waits_longer_than_a_round(
            joins in prop::collection::vec(0_u8..4, 1..40),
        ) {
            let mut queue = full(100);
            for number in &joins {
                waits(&mut queue, *number);
            }
            let served: Vec<u8> = std::iter::from_fn(|| queue.give_back(Duration::ZERO)).collect();
            for number in 0_u8..4 {
                let mut turns = served.iter().enumerate().filter(|(_, it)| **it == number).map(|(at, _)| at);
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

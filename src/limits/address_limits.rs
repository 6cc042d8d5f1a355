//! What one client address may take: questions a minute, sessions an hour, connections at once.

use std::time::Duration;

use super::AddressKey;
use super::connections::{Connections, Full};
use super::window_table::WindowTable;
use crate::domain::address_limit::{AddressLimit, TableOccupancy};
use crate::domain::clock::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many addresses each window tells apart. The whole table is 8 MB for each window while every address was seen
/// once, and 35 MB when each has used a limit of 60.
const TRACKED: usize = 100_000;

/// What someone is told who has too many connections: nobody knows when one of them ends.
const UNTIL_A_CONNECTION_MAY_HAVE_ENDED: Duration = Duration::from_secs(5);

/// The limits of one address, and the one on all connections that bounds how many addresses can be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions in any 60 seconds (`QUESTIONS_PER_MINUTE_PER_ADDRESS`).
    pub questions_per_minute: u32,
    /// New sessions in any 60 minutes (`SESSIONS_PER_HOUR_PER_ADDRESS`).
    pub sessions_per_hour: u32,
    /// Open connections (`MAX_CONNECTIONS_PER_ADDRESS`).
    pub connections: u32,
    /// Open connections of all addresses together (`MAX_CONNECTIONS`).
    pub connections_in_all: u32,
}

/// A limit is used up. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit}")]
pub struct Exceeded {
    /// Which.
    pub limit: AddressLimit,
    /// After this long it is worth asking again. For questions and sessions one more is let through then, if nobody
    /// else of that address takes it, and not a millisecond earlier; for connections it is advice.
    pub retry_after: Duration,
}

/// Holds every address to its limits, in bounded memory.
///
/// Up to 100,000 addresses are counted exactly, each window by itself: with a limit up to 64 the sliding window is
/// exact, above that it lets through at times 1/64 of the limit less (never more). Beyond 100,000 addresses with
/// something in their window (or 50,000 IPv6 ones), newcomers share 16,384 counts: still never more than the limit for
/// any address, but possibly less. Connections are always exact.
///
/// A decision that was taken cannot be given back: ask here last, after everything else that may refuse.
#[derive(Debug)]
pub struct AddressLimits {
    questions: WindowTable,
    sessions: WindowTable,
    connections: Connections,
}

impl AddressLimits {
    /// Nobody has taken anything yet. A limit of zero lets nothing through, `u32::MAX` everything.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            questions: WindowTable::new(limits.questions_per_minute, MINUTE, TRACKED),
            sessions: WindowTable::new(limits.sessions_per_hour, HOUR, TRACKED),
            connections: Connections::new(limits.connections, limits.connections_in_all),
        }
    }

    /// Takes one question.
    ///
    /// # Errors
    /// [`Exceeded`] when the minute's are used up.
    pub fn ask(&mut self, now: Timestamp, address: AddressKey) -> Result<(), Exceeded> {
        let refused = |retry_after| Exceeded { limit: AddressLimit::Questions, retry_after };
        self.questions.take(now, address).map_err(refused)
    }

    /// Takes one new session. A resumed one is not new.
    ///
    /// # Errors
    /// [`Exceeded`] when the hour's are used up.
    pub fn start_session(&mut self, now: Timestamp, address: AddressKey) -> Result<(), Exceeded> {
        let refused = |retry_after| Exceeded { limit: AddressLimit::Sessions, retry_after };
        self.sessions.take(now, address).map_err(refused)
    }

    /// Counts one open connection; each that is counted must be [`disconnected`](Self::disconnected) once.
    ///
    /// # Errors
    /// [`Exceeded`] when the address, or all together, have as many as they may; it is not counted then.
    pub fn connected(&mut self, address: AddressKey) -> Result<(), Exceeded> {
        self.connections.connected(address).map_err(|full| Exceeded {
            limit: match full {
                Full::Address => AddressLimit::Connections,
                Full::Service => AddressLimit::TotalConnections,
            },
            retry_after: UNTIL_A_CONNECTION_MAY_HAVE_ENDED,
        })
    }

    /// Counts one open connection less.
    pub fn disconnected(&mut self, address: AddressKey) {
        self.connections.disconnected(address);
    }

    /// How many questions are left at `now`.
    pub fn questions_remaining(&mut self, now: Timestamp, address: AddressKey) -> u32 {
        self.questions.remaining(now, address)
    }

    /// How many new sessions are left at `now`.
    pub fn sessions_remaining(&mut self, now: Timestamp, address: AddressKey) -> u32 {
        self.sessions.remaining(now, address)
    }

    /// How many connections this address has open.
    #[must_use]
    pub fn connections(&self, address: AddressKey) -> u32 {
        self.connections.of(address)
    }

    /// Looks at as many as `at_most` entries of each window, drops the idle ones, and tells how many it dropped.
    ///
    /// Newcomers drop idle entries too; to call this now and then only frees memory sooner after a flood has ended.
    pub fn sweep(&mut self, now: Timestamp, at_most: usize) -> usize {
        self.questions.sweep(now, at_most) + self.sessions.sweep(now, at_most)
    }

    /// How full the tables are.
    #[must_use]
    pub fn occupancy(&self) -> TableOccupancy {
        TableOccupancy {
            question_addresses: self.questions.tracked(),
            session_addresses: self.sessions.tracked(),
            connections: self.connections.total(),
            sketch_decisions: self.questions.overflowed().saturating_add(self.sessions.overflowed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { questions_per_minute: 2, sessions_per_hour: 1, connections: 2, connections_in_all: 3 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * 1_000)
    }

    fn key(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    fn exceeded(limit: AddressLimit, seconds: u64) -> Result<(), Exceeded> {
        Err(Exceeded { limit, retry_after: Duration::from_secs(seconds) })
    }

    #[test]
    fn each_limit_is_counted_by_itself_and_refuses_by_its_name() {
        let (mut limits, visitor) = (AddressLimits::new(LIMITS), key("2001:db8::1"));
        assert_eq!(limits.start_session(at(0), visitor), Ok(()));
        assert_eq!(limits.ask(at(0), visitor), Ok(()));
        assert_eq!(limits.questions_remaining(at(10), visitor), 1);
        assert_eq!(limits.ask(at(10), visitor), Ok(()));
        assert_eq!(limits.ask(at(20), key("2001:db8::2")), exceeded(AddressLimit::Questions, 40));
        assert_eq!(limits.start_session(at(20), visitor), exceeded(AddressLimit::Sessions, 3_580));
        assert_eq!(limits.sessions_remaining(at(20), visitor), 0);
        assert_eq!(limits.ask(at(60), visitor), Ok(()));
        assert_eq!(limits.start_session(at(3_600), visitor), Ok(()));
        assert_eq!(limits.ask(at(60), key("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn connections_are_capped_for_the_address_and_for_all() {
        let (mut limits, one, two) = (AddressLimits::new(LIMITS), key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(limits.connected(one), Ok(()));
        assert_eq!(limits.connected(one), Ok(()));
        assert_eq!(limits.connected(one), exceeded(AddressLimit::Connections, 5));
        assert_eq!(limits.connected(two), Ok(()));
        assert_eq!(limits.connected(two), exceeded(AddressLimit::TotalConnections, 5));
        limits.disconnected(one);
        assert_eq!(limits.connected(two), Ok(()));
        assert_eq!((limits.connections(one), limits.connections(two)), (1, 2));
    }

    #[test]
    fn a_sweep_leaves_nothing_of_who_is_gone() {
        let (mut limits, visitor) = (AddressLimits::new(LIMITS), key("192.0.2.1"));
        assert_eq!(limits.start_session(at(0), visitor), Ok(()));
        assert_eq!(limits.ask(at(0), visitor), Ok(()));
        assert_eq!(limits.sweep(at(60), 10), 1);
        assert_eq!(limits.sweep(at(3_600), 10), 1);
        assert_eq!(limits.occupancy(), TableOccupancy::default());
    }

    #[test]
    fn refusals_read_well() {
        let refused = Exceeded { limit: AddressLimit::Questions, retry_after: Duration::ZERO };
        assert_eq!(refused.to_string(), "too many questions from this address in a minute");
    }
}

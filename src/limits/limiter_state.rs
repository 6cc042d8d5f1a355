//! The limits of all client addresses: questions a minute, sessions an hour, open connections.

use std::time::Duration;

use super::connection_counter::{ConnectionCounter, ConnectionLimit};
use super::keyed_limiter::KeyedLimiter;
use super::{AddressKey, NETWORK_ALLOWANCE};
use crate::domain::address_limit::{AddressLimit, TableOccupancy};
use crate::domain::clock::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The addresses that each window counts one by one. A table takes 8 MB while each address was seen
/// once, and 35 MB when each has used a limit of 60.
const MAX_TRACKED_ADDRESSES: usize = 100_000;

/// The suggested wait when there are too many connections. It is unknown when a connection ends.
const CONNECTION_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The limits of one address, and the limit of all connections, which bounds how many addresses can
/// be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpLimits {
    /// Questions in any 60 seconds (`QUESTIONS_PER_MINUTE_PER_ADDRESS`).
    pub questions_per_minute: u32,
    /// New sessions in any 60 minutes (`SESSIONS_PER_HOUR_PER_ADDRESS`).
    pub sessions_per_hour: u32,
    /// Open connections (`MAX_CONNECTIONS_PER_ADDRESS`).
    pub connections: u32,
    /// Open connections of all addresses together (`MAX_CONNECTIONS`).
    pub total_connections: u32,
}

/// A limit is reached. Nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit}")]
pub struct IpLimitExceeded {
    /// The limit that is reached.
    pub limit: AddressLimit,
    /// The time after which to try again. For questions and sessions it is exact: one more is
    /// allowed then, unless another client of the same address takes it. For connections it is a
    /// suggestion.
    pub retry_after: Duration,
}

/// Enforces the limits of every address in bounded memory. The unshared part of an
/// [`IpLimiter`](super::IpLimiter).
///
/// Up to 100,000 addresses are counted one by one in each window. With a limit of up to 64 the
/// sliding window is exact; above that it can allow 1/64 of the limit less, never more. Beyond
/// 100,000 addresses with events in their window (or 50,000 IPv6 networks), new addresses share
/// 16,384 counters: no address ever exceeds the limit, but it can be refused too early. Connections
/// are always counted exactly.
///
/// An event cannot be given back, so check these limits last.
/// The addresses of an IPv6 /48 network share [`NETWORK_ALLOWANCE`] times each limit.
#[derive(Debug)]
pub(super) struct LimiterState {
    questions: WindowPair,
    sessions: WindowPair,
    connections: ConnectionCounter,
    network_connections: ConnectionCounter,
}

/// The windows of addresses, and those of IPv6 networks.
#[derive(Debug)]
struct WindowPair {
    addresses: KeyedLimiter,
    networks: KeyedLimiter,
}

impl WindowPair {
    fn new(limit: u32, span: Duration) -> Self {
        let network_limit = limit.saturating_mul(NETWORK_ALLOWANCE);
        Self {
            addresses: KeyedLimiter::new(limit, span, MAX_TRACKED_ADDRESSES),
            networks: KeyedLimiter::new(network_limit, span, MAX_TRACKED_ADDRESSES),
        }
    }

    /// Counts one event of an address and of its network, or neither.
    fn take(&mut self, now: Timestamp, address: AddressKey) -> Result<(), Duration> {
        let Some(network) = address.ipv6_network() else { return self.addresses.take(now, address) };
        self.networks.check(now, network)?;
        self.addresses.take(now, address)?;
        self.networks.take(now, network)
    }

    fn sweep(&mut self, now: Timestamp, max: usize) -> usize {
        self.addresses.sweep(now, max) + self.networks.sweep(now, max)
    }
}

impl LimiterState {
    /// Returns the state without any events. A limit of zero allows nothing, `u32::MAX` everything.
    pub(super) fn new(limits: IpLimits) -> Self {
        Self {
            questions: WindowPair::new(limits.questions_per_minute, MINUTE),
            sessions: WindowPair::new(limits.sessions_per_hour, HOUR),
            connections: ConnectionCounter::new(limits.connections, limits.total_connections),
            network_connections: ConnectionCounter::new(
                limits.connections.saturating_mul(NETWORK_ALLOWANCE),
                limits.total_connections,
            ),
        }
    }

    /// Counts one question.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the limit of the minute is reached.
    pub(super) fn take_question(
        &mut self,
        now: Timestamp,
        address: AddressKey,
    ) -> Result<(), IpLimitExceeded> {
        let exceeded = |retry_after| IpLimitExceeded { limit: AddressLimit::Questions, retry_after };
        self.questions.take(now, address).map_err(exceeded)
    }

    /// Counts one new session. A resumed session is not new.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the limit of the hour is reached.
    pub(super) fn take_session(
        &mut self,
        now: Timestamp,
        address: AddressKey,
    ) -> Result<(), IpLimitExceeded> {
        let exceeded = |retry_after| IpLimitExceeded { limit: AddressLimit::Sessions, retry_after };
        self.sessions.take(now, address).map_err(exceeded)
    }

    /// Counts one open connection, until [`disconnect`](Self::disconnect) is called for it.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the limit of the address or of the server is reached.
    pub(super) fn connect(&mut self, address: AddressKey) -> Result<(), IpLimitExceeded> {
        let exceeded = |limit| IpLimitExceeded {
            limit: match limit {
                ConnectionLimit::Address => AddressLimit::Connections,
                ConnectionLimit::Total => AddressLimit::TotalConnections,
            },
            retry_after: CONNECTION_RETRY_AFTER,
        };
        self.connections.connect(address).map_err(exceeded)?;
        let Some(network) = address.ipv6_network() else { return Ok(()) };
        self.network_connections.connect(network).map_err(|limit| {
            self.connections.disconnect(address);
            exceeded(limit)
        })
    }

    /// Counts one open connection less.
    pub(super) fn disconnect(&mut self, address: AddressKey) {
        self.connections.disconnect(address);
        if let Some(network) = address.ipv6_network() {
            self.network_connections.disconnect(network);
        }
    }

    /// Examines at most `max` entries of each window, removes the idle ones, and returns how many
    /// were removed.
    ///
    /// New addresses remove idle entries too, so this only frees memory sooner after a flood.
    pub(super) fn sweep(&mut self, now: Timestamp, max: usize) -> usize {
        self.questions.sweep(now, max) + self.sessions.sweep(now, max)
    }

    pub(super) fn occupancy(&self) -> TableOccupancy {
        TableOccupancy {
            question_addresses: self.questions.addresses.tracked(),
            session_addresses: self.sessions.addresses.tracked(),
            connections: self.connections.total(),
            sketch_decisions: [&self.questions, &self.sessions]
                .into_iter()
                .flat_map(|pair| [&pair.addresses, &pair.networks])
                .fold(0, |sum, limiter| sum.saturating_add(limiter.sketch_decisions())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IpLimits =
        IpLimits { questions_per_minute: 2, sessions_per_hour: 1, connections: 2, total_connections: 3 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * 1_000)
    }

    fn key(text: &str) -> AddressKey {
        AddressKey::from_ip(text.parse().unwrap())
    }

    fn exceeded(limit: AddressLimit, seconds: u64) -> Result<(), IpLimitExceeded> {
        Err(IpLimitExceeded { limit, retry_after: Duration::from_secs(seconds) })
    }

    #[test]
    fn each_limit_is_counted_separately_and_named_when_reached() {
        let (mut limits, visitor) = (LimiterState::new(LIMITS), key("2001:db8::1"));
        assert_eq!(limits.take_session(at(0), visitor), Ok(()));
        assert_eq!(limits.take_question(at(0), visitor), Ok(()));
        assert_eq!(limits.take_question(at(10), visitor), Ok(()));
        assert_eq!(limits.take_question(at(20), key("2001:db8::2")), exceeded(AddressLimit::Questions, 40));
        assert_eq!(limits.take_session(at(20), visitor), exceeded(AddressLimit::Sessions, 3_580));
        assert_eq!(limits.take_question(at(60), visitor), Ok(()));
        assert_eq!(limits.take_session(at(3_600), visitor), Ok(()));
        assert_eq!(limits.take_question(at(60), key("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn connections_are_limited_per_address_and_in_total() {
        let (mut limits, first, second) = (LimiterState::new(LIMITS), key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(limits.connect(first), Ok(()));
        assert_eq!(limits.connect(first), Ok(()));
        assert_eq!(limits.connect(first), exceeded(AddressLimit::Connections, 5));
        assert_eq!(limits.connect(second), Ok(()));
        assert_eq!(limits.connect(second), exceeded(AddressLimit::TotalConnections, 5));
        limits.disconnect(first);
        assert_eq!(limits.connect(second), Ok(()));
        assert_eq!(limits.occupancy().connections, 3);
        assert_eq!(limits.connect(first), exceeded(AddressLimit::TotalConnections, 5), "it has one of two");
        assert_eq!(limits.connect(second), exceeded(AddressLimit::Connections, 5), "it has two of two");
    }

    #[test]
    fn networks_of_a_slash_48_share_four_times_each_limit() {
        let limits = IpLimits { total_connections: 100, ..LIMITS };
        let mut limits = LimiterState::new(limits);
        let visitor = |number: u32| key(&format!("2001:db8:0:{number:x}::1"));
        for number in 0..4 {
            assert_eq!(limits.take_session(at(0), visitor(number)), Ok(()));
            for _ in 0..2 {
                assert_eq!(limits.take_question(at(0), visitor(number)), Ok(()));
                assert_eq!(limits.connect(visitor(number)), Ok(()));
            }
        }
        assert_eq!(limits.take_session(at(10), visitor(4)), exceeded(AddressLimit::Sessions, 3_590));
        assert_eq!(limits.take_question(at(10), visitor(4)), exceeded(AddressLimit::Questions, 50));
        assert_eq!(limits.connect(visitor(4)), exceeded(AddressLimit::Connections, 5));
        // Another network and an IPv4 address are not affected, and a refused event is not counted.
        for other in [key("2001:db8:1::1"), key("192.0.2.1")] {
            assert_eq!(limits.take_session(at(10), other), Ok(()));
            assert_eq!(limits.take_question(at(10), other), Ok(()));
            assert_eq!(limits.connect(other), Ok(()));
        }
        assert_eq!(limits.occupancy().connections, 10);
        limits.disconnect(visitor(0));
        assert_eq!(limits.connect(visitor(4)), Ok(()));
        assert_eq!(limits.take_question(at(60), visitor(4)), Ok(()));
        assert_eq!(limits.take_session(at(3_600), visitor(4)), Ok(()));
    }

    #[test]
    fn sweep_removes_idle_addresses() {
        let (mut limits, visitor) = (LimiterState::new(LIMITS), key("192.0.2.1"));
        assert_eq!(limits.take_session(at(0), visitor), Ok(()));
        assert_eq!(limits.take_question(at(0), visitor), Ok(()));
        assert_eq!(limits.sweep(at(60), 10), 1);
        assert_eq!(limits.sweep(at(3_600), 10), 1);
        assert_eq!(limits.occupancy(), TableOccupancy::default());
    }

    #[test]
    fn exceeded_limit_is_displayed_by_its_text() {
        let refused = IpLimitExceeded { limit: AddressLimit::Questions, retry_after: Duration::ZERO };
        assert_eq!(refused.to_string(), "too many questions from this address in a minute");
    }
}

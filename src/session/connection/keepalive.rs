//! Detects dead and idle connections: when to ping, warn and close. A plain value.

use std::time::{Duration, Instant};

use crate::protocol::close_codes::CloseReason;
use crate::session::connection::slow_consumer::ConsumerState;
use crate::session::limits::SessionTimeouts;

/// The maximum time between the warning and the close of an idle connection. Otherwise it is a
/// tenth of the idle timeout.
const MAX_WARNING: Duration = Duration::from_secs(60);

/// What to do with a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepaliveAction {
    /// Nothing.
    Wait,
    /// Send a ping.
    Ping,
    /// Warn that the connection will be closed unless a question is asked.
    WarnIdle,
    /// Close the connection.
    Close(CloseReason),
}

/// The state of a connection outside of its keepalive.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionStatus {
    /// Whether an answer is being forwarded.
    pub is_answering: bool,
    pub consumer: ConsumerState,
}

/// Tracks the activity of one connection, and when to check it next.
///
/// Every frame counts as activity, so a busy connection is not pinged. The intervals between pings
/// differ between connections and between pings, so that clients which connected at the same time
/// are not pinged at the same time.
#[derive(Debug)]
pub struct Keepalive {
    last_frame_at: Instant,
    last_question_at: Instant,
    next_check: Instant,
    /// Determines the length of the ping intervals.
    random: u32,
    /// Whether a frame has arrived since the handshake.
    has_received: bool,
    /// When the response to the last ping is due; `None` if no ping is outstanding.
    pong_due: Option<Instant>,
    is_warned: bool,
}

impl Keepalive {
    /// Returns the keepalive of a new connection. `seed` differs between connections.
    #[must_use]
    pub fn new(now: Instant, seed: u64, timeouts: &SessionTimeouts) -> Self {
        let [low, high] = [seed & 0xffff_ffff, seed >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        let mut keepalive = Self {
            last_frame_at: now,
            last_question_at: now,
            next_check: now,
            random: low ^ high.rotate_left(16),
            has_received: false,
            pong_due: None,
            is_warned: false,
        };
        keepalive.next_check = keepalive.schedule(timeouts);
        keepalive
    }

    /// Returns when to call [`Self::poll`] next.
    #[must_use]
    pub fn next_check(&self) -> Instant {
        self.next_check
    }

    /// Records that a frame arrived.
    pub fn on_frame(&mut self, now: Instant) {
        self.last_frame_at = now;
        self.has_received = true;
        self.pong_due = None;
    }

    /// Records that a question arrived.
    pub fn on_question(&mut self, now: Instant) {
        self.last_question_at = now;
        self.is_warned = false;
    }

    /// Checks the connection and returns what to do. [`Self::next_check`] returns the time of the
    /// next check then.
    pub fn poll(
        &mut self,
        now: Instant,
        status: ConnectionStatus,
        timeouts: &SessionTimeouts,
    ) -> KeepaliveAction {
        if status.consumer == ConsumerState::Behind
            && let Some(due) = &mut self.pong_due
        {
            // The client has not read the ping yet: it waits behind other frames.
            *due = (*due).max(now + timeouts.heartbeat_interval / 2);
        }
        if status.is_answering {
            // A client that waits for an answer is not idle. The idle timeout starts after the
            // answer.
            self.on_question(now);
        }
        let action = self.next_action(now, status, timeouts);
        match action {
            KeepaliveAction::Ping => {
                self.random = self.random.wrapping_add(1);
                self.pong_due = Some(now + self.interval(timeouts));
            }
            KeepaliveAction::WarnIdle => self.is_warned = true,
            KeepaliveAction::Wait | KeepaliveAction::Close(_) => {}
        }
        self.next_check = self.schedule(timeouts);
        action
    }

    fn next_action(
        &self,
        now: Instant,
        status: ConnectionStatus,
        timeouts: &SessionTimeouts,
    ) -> KeepaliveAction {
        let interval = self.interval(timeouts);
        // If the connection was not read meanwhile, a pong can be waiting unread: ping again.
        let is_late = now.saturating_duration_since(self.next_check) > timeouts.heartbeat_interval / 2;
        let is_pong_missing = self.pong_due.is_some_and(|due| due <= now);
        // A ping that is almost due is sent now, because each check costs a timer.
        let is_ping_due = self.pong_due.is_none() && now + interval / 8 >= self.last_frame_at + interval;
        if status.consumer == ConsumerState::TooSlow {
            KeepaliveAction::Close(CloseReason::SlowConsumer)
        } else if (self.is_warned && now >= self.idle_deadline(timeouts)) || (is_pong_missing && !is_late) {
            KeepaliveAction::Close(CloseReason::IdleTimeout)
        } else if !self.is_warned && now >= self.warning_time(timeouts) {
            KeepaliveAction::WarnIdle
        } else if is_pong_missing || is_ping_due {
            KeepaliveAction::Ping
        } else {
            KeepaliveAction::Wait
        }
    }

    fn schedule(&self, timeouts: &SessionTimeouts) -> Instant {
        let ping_at = self.pong_due.unwrap_or_else(|| self.last_frame_at + self.interval(timeouts));
        ping_at.min(if self.is_warned { self.idle_deadline(timeouts) } else { self.warning_time(timeouts) })
    }

    fn idle_deadline(&self, timeouts: &SessionTimeouts) -> Instant {
        self.last_question_at + timeouts.idle_timeout
    }

    fn warning_time(&self, timeouts: &SessionTimeouts) -> Instant {
        self.last_question_at + (timeouts.idle_timeout - MAX_WARNING.min(timeouts.idle_timeout / 10))
    }

    /// Returns the ping interval: between three quarters of the heartbeat interval and all of it,
    /// or at most half of the first-frame timeout until the first frame arrives.
    fn interval(&self, timeouts: &SessionTimeouts) -> Duration {
        let max = timeouts.heartbeat_interval;
        // Multiples of the golden ratio are spread evenly for any number of pings.
        let fraction = self.random.wrapping_mul(0x9e37_79b9);
        let interval = max - max.mul_f64(f64::from(fraction) / f64::from(u32::MAX) / 4.0);
        if self.has_received { interval } else { interval.min(timeouts.first_frame_timeout / 2) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TIMES: SessionTimeouts = SessionTimeouts {
        ttl: seconds(86_400),
        idle_timeout: seconds(1_800),
        heartbeat_interval: seconds(25),
        first_frame_timeout: seconds(10),
        message_timeout: seconds(60),
    };

    /// Checks at every scheduled time until an action other than a ping is due. `responds` says
    /// whether the client responds to pings.
    fn run(keepalive: &mut Keepalive, responds: bool) -> (KeepaliveAction, Instant) {
        loop {
            let now = keepalive.next_check();
            match keepalive.poll(now, ConnectionStatus::default(), &TIMES) {
                KeepaliveAction::Wait => {}
                KeepaliveAction::Ping if responds => keepalive.on_frame(now + Duration::from_millis(40)),
                KeepaliveAction::Ping => {}
                action => return (action, now),
            }
        }
    }

    fn first_ping(keepalive: &mut Keepalive) -> Instant {
        loop {
            let now = keepalive.next_check();
            if keepalive.poll(now, ConnectionStatus::default(), &TIMES) == KeepaliveAction::Ping {
                return now;
            }
        }
    }

    #[test]
    fn silent_client_is_closed_after_the_first_frame_timeout() {
        let start = Instant::now();
        let (action, at) = run(&mut Keepalive::new(start, 7, &TIMES), false);
        assert_eq!((action, at - start), (KeepaliveAction::Close(CloseReason::IdleTimeout), seconds(10)));
    }

    #[test]
    fn client_that_stops_responding_is_closed_within_two_heartbeats() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        keepalive.on_frame(start);
        let (action, at) = run(&mut keepalive, false);
        assert_eq!(action, KeepaliveAction::Close(CloseReason::IdleTimeout));
        assert!((seconds(36)..=seconds(50)).contains(&(at - start)), "{:?}", at - start);
    }

    #[test]
    fn idle_client_is_warned_and_then_closed() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        let (action, warned) = run(&mut keepalive, true);
        assert_eq!((action, warned - start), (KeepaliveAction::WarnIdle, seconds(1_740)));
        let (action, closed) = run(&mut keepalive, true);
        assert_eq!(
            (action, closed - start),
            (KeepaliveAction::Close(CloseReason::IdleTimeout), seconds(1_800))
        );
    }

    #[test]
    fn question_after_the_warning_resets_the_idle_timeout() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        let (_, warned) = run(&mut keepalive, true);
        keepalive.on_question(warned + seconds(1));
        let (action, warned_again) = run(&mut keepalive, true);
        assert_eq!((action, warned_again - warned), (KeepaliveAction::WarnIdle, seconds(1_741)));
    }

    #[test]
    fn client_that_waits_for_an_answer_is_not_idle() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        keepalive.on_frame(start);
        let later = start + seconds(3_000);
        keepalive.on_frame(later);
        let status = ConnectionStatus { is_answering: true, ..ConnectionStatus::default() };
        assert_eq!(keepalive.poll(later, status, &TIMES), KeepaliveAction::Wait);
        assert_eq!(run(&mut keepalive, true).1 - later, seconds(1_740));
    }

    #[test]
    fn client_is_pinged_again_after_a_late_check() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        keepalive.on_frame(start);
        let pinged = first_ping(&mut keepalive);
        let resumed = pinged + seconds(300);
        assert_eq!(keepalive.poll(resumed, ConnectionStatus::default(), &TIMES), KeepaliveAction::Ping);
        assert!(matches!(run(&mut keepalive, false), (KeepaliveAction::Close(_), at) if at > resumed));
    }

    #[test]
    fn pong_is_not_due_while_the_client_is_behind() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        keepalive.on_frame(start);
        first_ping(&mut keepalive);
        let status = ConnectionStatus { consumer: ConsumerState::Behind, ..ConnectionStatus::default() };
        for _ in 0..20 {
            let now = keepalive.next_check();
            assert_eq!(keepalive.poll(now, status, &TIMES), KeepaliveAction::Wait);
            assert!(keepalive.next_check() > now);
        }
        let caught_up = keepalive.next_check();
        assert!(
            matches!(run(&mut keepalive, false), (KeepaliveAction::Close(_), at) if at - caught_up <= seconds(50))
        );
    }

    #[test]
    fn slow_consumer_is_closed() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, 7, &TIMES);
        let status = ConnectionStatus { is_answering: true, consumer: ConsumerState::TooSlow };
        assert_eq!(keepalive.poll(start, status, &TIMES), KeepaliveAction::Close(CloseReason::SlowConsumer));
    }

    #[test]
    fn pings_of_simultaneous_connections_are_spread() {
        const CONNECTIONS: u64 = 10_000;
        let start = Instant::now();
        let mut pings = vec![0; 25_000];
        for seed in 0..CONNECTIONS {
            let mut keepalive = Keepalive::new(start, seed, &TIMES);
            keepalive.on_frame(start);
            let at = usize::try_from((first_ping(&mut keepalive) - start).as_millis()).unwrap();
            pings[at.min(24_999)] += 1;
        }
        let busiest_second = pings.chunks(1_000).map(|second| second.iter().sum::<u64>()).max();
        // A quarter of the interval is 6.25 s, which makes 1,600 a second.
        assert!(busiest_second.is_some_and(|count| count < 1_700), "{busiest_second:?}");
    }

    proptest! {
        /// Whatever arrives and whenever the connection is checked: the next check is in the future
        /// unless there was an action, a client that responds is never closed, and one that does
        /// not respond is.
        #[test]
        fn checks_do_not_spin_and_responding_clients_stay_connected(
            seed in any::<u64>(),
            waits in prop::collection::vec((0_u64..40_000, any::<bool>()), 1..60),
        ) {
            let start = Instant::now();
            let mut keepalive = Keepalive::new(start, seed, &TIMES);
            let mut now = start;
            for (wait, is_question) in waits {
                now += Duration::from_millis(wait);
                keepalive.on_frame(now);
                if is_question {
                    keepalive.on_question(now);
                }
                let action = keepalive.poll(now, ConnectionStatus::default(), &TIMES);
                prop_assert!(!matches!(action, KeepaliveAction::Close(_)) || now - start >= seconds(1_800));
                prop_assert!(keepalive.next_check() > now || action == KeepaliveAction::WarnIdle || matches!(action, KeepaliveAction::Close(_)));
                prop_assert!(keepalive.next_check() <= now + seconds(25));
            }
            keepalive.on_question(now);
            let (action, at) = run(&mut keepalive, false);
            prop_assert_eq!(action, KeepaliveAction::Close(CloseReason::IdleTimeout));
            prop_assert!(at - now <= seconds(50));
        }
    }
}

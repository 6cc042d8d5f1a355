//! Whether the other side is still there: when it is pinged, warned and given up. A plain value.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::close_codes::CloseReason;
use crate::session::SessionTimes;
use crate::session::connection::slow_consumer::Reader;

/// The longest time between the warning and the close of an idle connection; otherwise it is a tenth of the idle time.
const LONGEST_WARNING: Duration = Duration::from_secs(60);

/// What is to be done about a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// See whether somebody answers.
    Ping,
    /// Say that the connection will be closed for want of a question.
    WarnIdle,
    /// Give it up.
    Close(CloseReason),
}

/// What else is known of the connection when it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight {
    /// An answer is being given.
    pub answering: bool,
    /// How it keeps up with what it is sent.
    pub reader: Reader,
}

/// The signs of life of one connection, and when to look at it next.
///
/// Whatever comes is a sign of life, so a connection in use is not pinged. The times between pings differ from
/// connection to connection and from ping to ping, so that those who came together do not beat together.
#[derive(Debug)]
pub struct Presence {
    heard_at: Instant,
    asked_at: Instant,
    look_at: Instant,
    /// Draws the lengths of the beats.
    draw: u32,
    /// Something has come since the handshake.
    has_spoken: bool,
    /// A ping is out, and nothing has come since; until when something must.
    answer_by: Option<Instant>,
    warned: bool,
}

impl Presence {
    /// Of a connection that was made now. `seed` is a number of its own.
    #[must_use]
    pub fn begin(now: Instant, seed: u64, times: &SessionTimes) -> Self {
        let [low, high] = [seed & 0xffff_ffff, seed >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        let mut presence = Self {
            heard_at: now,
            asked_at: now,
            look_at: now,
            draw: low ^ high.rotate_left(16),
            has_spoken: false,
            answer_by: None,
            warned: false,
        };
        presence.look_at = presence.next(times);
        presence
    }

    /// When to look at it next.
    #[must_use]
    pub fn look_at(&self) -> Instant {
        self.look_at
    }

    /// A frame came.
    pub fn hear(&mut self, now: Instant) {
        self.heard_at = now;
        self.has_spoken = true;
        self.answer_by = None;
    }

    /// A question came.
    pub fn ask(&mut self, now: Instant) {
        self.asked_at = now;
        self.warned = false;
    }

    /// Looks at the connection; [`Self::look_at`] then says when to do so again.
    pub fn look(&mut self, now: Instant, sight: Sight, times: &SessionTimes) -> Step {
        if sight.reader == Reader::Behind
            && let Some(by) = &mut self.answer_by
        {
            // The ping waits with the rest for being read.
            *by = (*by).max(now + times.heartbeat_interval / 2);
        }
        if sight.answering {
            // Whoever waits for an answer is not idle, and has the whole time after it.
            self.ask(now);
        }
        let step = self.step(now, sight, times);
        match step {
            Step::Ping => {
                self.draw = self.draw.wrapping_add(1);
                self.answer_by = Some(now + self.beat(times));
            }
            Step::WarnIdle => self.warned = true,
            Step::Wait | Step::Close(_) => {}
        }
        self.look_at = self.next(times);
        step
    }

    fn step(&self, now: Instant, sight: Sight, times: &SessionTimes) -> Step {
        let beat = self.beat(times);
        // A connection that was not read from in between could not be heard: it is asked again.
        let overslept = now.saturating_duration_since(self.look_at) > times.heartbeat_interval / 2;
        let unanswered = self.answer_by.is_some_and(|by| by <= now);
        // A beat that is nearly due is taken now, for each look costs a timer.
        let due = self.answer_by.is_none() && now + beat / 8 >= self.heard_at + beat;
        if sight.reader == Reader::TooSlow {
            Step::Close(CloseReason::CannotKeepUp)
        } else if (self.warned && now >= self.idle_at(times)) || (unanswered && !overslept) {
            Step::Close(CloseReason::IdleTooLong)
        } else if !self.warned && now >= self.warn_at(times) {
            Step::WarnIdle
        } else if unanswered || due {
            Step::Ping
        } else {
            Step::Wait
        }
    }

    fn next(&self, times: &SessionTimes) -> Instant {
        let beat_at = self.answer_by.unwrap_or_else(|| self.heard_at + self.beat(times));
        beat_at.min(if self.warned { self.idle_at(times) } else { self.warn_at(times) })
    }

    fn idle_at(&self, times: &SessionTimes) -> Instant {
        self.asked_at + times.idle_timeout
    }

    fn warn_at(&self, times: &SessionTimes) -> Instant {
        self.asked_at + (times.idle_timeout - LONGEST_WARNING.min(times.idle_timeout / 10))
    }

    /// Three quarters of the interval to the whole of it; for one that has said nothing yet, half of its patience.
    fn beat(&self, times: &SessionTimes) -> Duration {
        let whole = times.heartbeat_interval;
        // Multiples of the golden ratio fall far from each other, however many there are.
        let part = self.draw.wrapping_mul(0x9e37_79b9);
        let beat = whole - whole.mul_f64(f64::from(part) / f64::from(u32::MAX) / 4.0);
        if self.has_spoken { beat } else { beat.min(times.first_frame_timeout / 2) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TIMES: SessionTimes = SessionTimes {
        ttl: seconds(86_400),
        idle_timeout: seconds(1_800),
        heartbeat_interval: seconds(25),
        first_frame_timeout: seconds(10),
        message_timeout: seconds(60),
    };

    /// Looks whenever it says so until something other than a ping is to be done, answering pings or not.
    fn live(presence: &mut Presence, answers: bool) -> (Step, Instant) {
        loop {
            let now = presence.look_at();
            match presence.look(now, Sight::default(), &TIMES) {
                Step::Wait => {}
                Step::Ping if answers => presence.hear(now + Duration::from_millis(40)),
                Step::Ping => {}
                step => return (step, now),
            }
        }
    }

    fn first_ping(presence: &mut Presence) -> Instant {
        loop {
            let now = presence.look_at();
            if presence.look(now, Sight::default(), &TIMES) == Step::Ping {
                return now;
            }
        }
    }

    #[test]
    fn one_that_never_says_anything_is_given_up_after_the_first_frame_timeout() {
        let start = Instant::now();
        let (step, at) = live(&mut Presence::begin(start, 7, &TIMES), false);
        assert_eq!((step, at - start), (Step::Close(CloseReason::IdleTooLong), seconds(10)));
    }

    #[test]
    fn one_that_falls_silent_is_given_up_within_two_heartbeats() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        presence.hear(start);
        let (step, at) = live(&mut presence, false);
        assert_eq!(step, Step::Close(CloseReason::IdleTooLong));
        assert!((seconds(36)..=seconds(50)).contains(&(at - start)), "{:?}", at - start);
    }

    #[test]
    fn one_that_asks_nothing_is_warned_and_then_closed() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        let (step, warned) = live(&mut presence, true);
        assert_eq!((step, warned - start), (Step::WarnIdle, seconds(1_740)));
        let (step, closed) = live(&mut presence, true);
        assert_eq!((step, closed - start), (Step::Close(CloseReason::IdleTooLong), seconds(1_800)));
    }

    #[test]
    fn a_question_after_the_warning_takes_it_back() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        let (_, warned) = live(&mut presence, true);
        presence.ask(warned + seconds(1));
        let (step, again) = live(&mut presence, true);
        assert_eq!((step, again - warned), (Step::WarnIdle, seconds(1_741)));
    }

    #[test]
    fn whoever_waits_for_an_answer_is_not_idle() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        presence.hear(start);
        let later = start + seconds(3_000);
        presence.hear(later);
        let sight = Sight { answering: true, ..Sight::default() };
        assert_eq!(presence.look(later, sight, &TIMES), Step::Wait);
        assert_eq!(live(&mut presence, true).1 - later, seconds(1_740));
    }

    #[test]
    fn one_that_could_not_be_heard_is_asked_again() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        presence.hear(start);
        let pinged = first_ping(&mut presence);
        let thawed = pinged + seconds(300);
        assert_eq!(presence.look(thawed, Sight::default(), &TIMES), Step::Ping);
        assert!(matches!(live(&mut presence, false), (Step::Close(_), at) if at > thawed));
    }

    #[test]
    fn a_ping_that_may_not_have_been_read_needs_no_answer_yet() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        presence.hear(start);
        first_ping(&mut presence);
        let sight = Sight { reader: Reader::Behind, ..Sight::default() };
        for _ in 0..20 {
            let now = presence.look_at();
            assert_eq!(presence.look(now, sight, &TIMES), Step::Wait);
            assert!(presence.look_at() > now);
        }
        let caught_up = presence.look_at();
        assert!(matches!(live(&mut presence, false), (Step::Close(_), at) if at - caught_up <= seconds(50)));
    }

    #[test]
    fn a_reader_that_never_catches_up_is_told_so() {
        let start = Instant::now();
        let mut presence = Presence::begin(start, 7, &TIMES);
        let sight = Sight { answering: true, reader: Reader::TooSlow };
        assert_eq!(presence.look(start, sight, &TIMES), Step::Close(CloseReason::CannotKeepUp));
    }

    #[test]
    fn those_who_came_together_do_not_beat_together() {
        const CONNECTIONS: u64 = 10_000;
        let start = Instant::now();
        let mut beats = vec![0; 25_000];
        for seed in 0..CONNECTIONS {
            let mut presence = Presence::begin(start, seed, &TIMES);
            presence.hear(start);
            let at = usize::try_from((first_ping(&mut presence) - start).as_millis()).unwrap();
            beats[at.min(24_999)] += 1;
        }
        let busiest_second = beats.chunks(1_000).map(|second| second.iter().sum::<u64>()).max();
        // A quarter of the interval is 6.25 s, which makes 1,600 a second.
        assert!(busiest_second.is_some_and(|most| most < 1_700), "{busiest_second:?}");
    }

    proptest! {
        /// Whatever comes and whenever one looks: the next look is ahead unless something was done now, a client that
        /// answers is never taken for gone, and one that does not is.
        #[test]
        fn no_look_spins_and_nobody_who_answers_is_given_up(
            seed in any::<u64>(),
            waits in prop::collection::vec((0_u64..40_000, any::<bool>()), 1..60),
        ) {
            let start = Instant::now();
            let mut presence = Presence::begin(start, seed, &TIMES);
            let mut now = start;
            for (wait, asks) in waits {
                now += Duration::from_millis(wait);
                presence.hear(now);
                if asks {
                    presence.ask(now);
                }
                let step = presence.look(now, Sight::default(), &TIMES);
                prop_assert!(!matches!(step, Step::Close(_)) || now - start >= seconds(1_800));
                prop_assert!(presence.look_at() > now || step == Step::WarnIdle || matches!(step, Step::Close(_)));
                prop_assert!(presence.look_at() <= now + seconds(25));
            }
            presence.ask(now);
            let (step, at) = live(&mut presence, false);
            prop_assert_eq!(step, Step::Close(CloseReason::IdleTooLong));
            prop_assert!(at - now <= seconds(50));
        }
    }
}

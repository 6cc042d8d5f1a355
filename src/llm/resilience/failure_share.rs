//! The share of failures among the newest requests. A plain value.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The time in which all requests count, however many there are. Long enough to judge the requests
/// of a crowd together, short enough that successes from before an outage do not hide it.
pub const BUSY_WINDOW: Duration = Duration::from_secs(2);

/// The time after which a request no longer counts.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// How much later than the newest failed request a request in flight may have been sent, to count as
/// one that did not fail.
const CROWD_WINDOW: Duration = Duration::from_millis(500);

/// How long a request in flight counts after it was sent, and after its first text. Answers take
/// about as long. It is limited, because connections that hang must not hide an outage.
const IN_FLIGHT_WINDOW: Duration = Duration::from_secs(10);

/// The maximum number of ended requests to remember. With more of them within [`BUSY_WINDOW`],
/// fewer decide, which are enough.
const MAX_OUTCOMES: usize = 4096;

/// The number of a request, in the order of sending.
pub type RequestNumber = u64;

/// The failures among the newest requests.
///
/// The newest requests are all that ended within [`BUSY_WINDOW`]; and if these are fewer than four
/// thirds of the threshold, as many older ones, none older than [`FAILURE_WINDOW`]. On an idle
/// server a threshold of failures in a row is therefore enough, on a busy server three quarters of all
/// requests must fail, and successes from before an outage soon leave the window.
///
/// Requests in flight count as good if they have lasted as long as the newest failed one. In a crowd,
/// requests that fail do so within milliseconds, while those that succeed take seconds.
#[derive(Debug)]
pub struct FailureShare {
    /// The least number of failures.
    threshold: usize,
    /// The newest ended requests, the oldest first.
    outcomes: VecDeque<Outcome>,
    failures: usize,
    /// When the request was sent that failed last.
    newest_failed_sent_at: Option<Instant>,
    in_flight: BTreeMap<RequestNumber, InFlight>,
    next_number: RequestNumber,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    ended_at: Instant,
    has_failed: bool,
}

/// A request that has not ended.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    sent_at: Instant,
    first_text_at: Option<Instant>,
}

/// How many of the newest requests failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCount {
    pub failures: usize,
    /// The number of requests, including those that failed.
    pub requests: usize,
}

impl InFlight {
    /// Returns whether the request counts as one that did not fail, other than one that was sent
    /// then. What was sent later may still fail in the same way.
    fn counts(&self, failed_sent_at: Instant, now: Instant) -> bool {
        let seen_at = self.first_text_at.unwrap_or(self.sent_at);
        self.sent_at <= failed_sent_at + CROWD_WINDOW
            && now.saturating_duration_since(seen_at) <= IN_FLIGHT_WINDOW
    }
}

impl FailureShare {
    /// Returns a value without requests. `threshold` is the least number of failures.
    #[must_use]
    pub fn new(threshold: usize) -> Self {
        Self {
            threshold,
            outcomes: VecDeque::new(),
            failures: 0,
            newest_failed_sent_at: None,
            in_flight: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// Adds a request that is sent `now`.
    pub fn start(&mut self, now: Instant) -> RequestNumber {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.in_flight.insert(number, InFlight { sent_at: now, first_text_at: None });
        number
    }

    /// Returns the number that the next request will have.
    #[must_use]
    pub const fn next_number(&self) -> RequestNumber {
        self.next_number
    }

    /// Records that the first text of a request arrived `now`.
    pub fn record_first_text(&mut self, number: RequestNumber, now: Instant) {
        if let Some(request) = self.in_flight.get_mut(&number) {
            request.first_text_at = Some(now);
        }
    }

    /// Removes a request that says nothing about the server.
    pub fn forget(&mut self, number: RequestNumber) {
        self.in_flight.remove(&number);
    }

    /// Records that a request ended `now`.
    pub fn finish(&mut self, number: RequestNumber, now: Instant, has_failed: bool) {
        let request = self.in_flight.remove(&number);
        if has_failed {
            self.newest_failed_sent_at = request.map(|request| request.sent_at);
        }
        self.outcomes.push_back(Outcome { ended_at: now, has_failed });
        self.failures += usize::from(has_failed);
        self.discard_old(now);
    }

    /// Forgets all ended requests.
    pub fn clear(&mut self) {
        self.outcomes.clear();
        self.failures = 0;
    }

    /// Returns whether the failures reach the threshold and are at least three quarters of the
    /// newest requests. At one half, three attempts still answer seven of eight visitors; at three
    /// quarters, four of ten visitors wait in vain, and most requests are wasted.
    #[must_use]
    pub fn is_critical(&self, now: Instant) -> bool {
        let FailureCount { failures, requests } = self.count(now);
        failures >= self.threshold.max(1) && failures.saturating_mul(4) >= requests.saturating_mul(3)
    }

    /// Counts the newest requests.
    #[must_use]
    pub fn count(&self, now: Instant) -> FailureCount {
        let is_current = |outcome: &&Outcome| age(outcome, now) <= FAILURE_WINDOW;
        let expired = self.outcomes.iter().take_while(|outcome| !is_current(outcome));
        let (expired, expired_failures) = expired
            .fold((0, 0), |(all, failed), outcome| (all + 1, failed + usize::from(outcome.has_failed)));
        let in_flight = self.newest_failed_sent_at.map_or(0, |failed_sent_at| {
            self.in_flight.values().filter(|request| request.counts(failed_sent_at, now)).count()
        });
        FailureCount {
            failures: self.failures - expired_failures,
            requests: self.outcomes.len() - expired + in_flight,
        }
    }

    /// Returns the number of requests of which a threshold of failures is three quarters.
    const fn least_requests(&self) -> usize {
        self.threshold.saturating_mul(4) / 3
    }

    fn discard_old(&mut self, now: Instant) {
        while let Some(oldest) = self.outcomes.front().copied() {
            let age = age(&oldest, now);
            let length = self.outcomes.len();
            let is_surplus = length > self.least_requests() && age > BUSY_WINDOW;
            if !is_surplus && age <= FAILURE_WINDOW && length <= MAX_OUTCOMES {
                return;
            }
            self.failures -= usize::from(oldest.has_failed);
            self.outcomes.pop_front();
        }
    }
}

fn age(outcome: &Outcome, now: Instant) -> Duration {
    now.saturating_duration_since(outcome.ended_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends one request and ends it at once. Returns whether the share is critical then.
    fn request(share: &mut FailureShare, now: Instant, has_failed: bool) -> bool {
        let number = share.start(now);
        share.finish(number, now, has_failed);
        share.is_critical(now)
    }

    /// Returns the number of failures in a row, one each `interval`, after which the share is
    /// critical.
    fn failures_until_critical(share: &mut FailureShare, mut now: Instant, interval: Duration) -> usize {
        (1..=1_000_000)
            .find(|_| {
                now += interval;
                request(share, now, true)
            })
            .unwrap()
    }

    #[test]
    fn a_run_of_failures_on_an_idle_server_is_critical() {
        for successes in [0, 1, 5, 100] {
            let (mut share, mut now) = (FailureShare::new(5), Instant::now());
            for _ in 0..successes {
                now += SECOND;
                assert!(!request(&mut share, now, false));
            }
            assert_eq!(failures_until_critical(&mut share, now, SECOND * 3), 5, "{successes} successes");
        }
    }

    #[test]
    fn unlucky_requests_among_a_thousand_are_not_critical() {
        let (mut share, now) = (FailureShare::new(5), Instant::now());
        for number in 0..1000_u64 {
            let at = now + Duration::from_millis(number);
            assert!(!request(&mut share, at, number % 200 < 5 && number >= 200), "{number}");
        }
    }

    #[test]
    fn failures_that_end_before_the_successes_of_the_same_crowd_are_not_critical() {
        let (mut share, now) = (FailureShare::new(5), Instant::now());
        let crowd: Vec<_> = (0..100).map(|_| share.start(now)).collect();
        for number in crowd.iter().take(74) {
            share.finish(*number, now + SECOND, true);
            assert!(!share.is_critical(now + SECOND));
        }
        share.finish(crowd[74], now + SECOND, true);
        assert!(share.is_critical(now + SECOND));
    }

    #[test]
    fn streaming_answers_count_as_good_for_a_while() {
        let (mut share, now) = (FailureShare::new(2), Instant::now());
        for _ in 0..10 {
            let number = share.start(now);
            share.record_first_text(number, now + SECOND * 5);
        }
        let (soon, later) = (now + SECOND * 14, now + SECOND * 16);
        assert!(!request(&mut share, soon, true) && !request(&mut share, soon, true));
        assert!(share.is_critical(later), "a hanging connection hides the outage");
    }

    #[test]
    fn alternating_failures_and_answers_are_not_critical() {
        for interval in [0, 1, 10] {
            let (mut share, mut now) = (FailureShare::new(5), Instant::now());
            for number in 0..100 {
                now += SECOND * interval;
                assert!(!request(&mut share, now, number % 2 == 0));
            }
        }
    }

    #[test]
    fn an_outage_after_a_busy_hour_is_critical_within_the_busy_window() {
        for rate in [1_u32, 3, 10, 100, 1000] {
            let (mut share, mut now) = (FailureShare::new(5), Instant::now());
            let interval = SECOND / rate;
            for _ in 0..rate * 120 {
                now += interval;
                request(&mut share, now, false);
            }
            let failures = failures_until_critical(&mut share, now, interval);
            let duration = interval * u32::try_from(failures).unwrap();
            assert!(duration <= BUSY_WINDOW.max(interval * 5), "{failures} failures at {rate} per second");
        }
    }

    #[test]
    fn requests_that_time_out_are_critical_although_others_wait() {
        let (mut share, start) = (FailureShare::new(5), Instant::now());
        let mut in_flight = VecDeque::new();
        let critical = (0..600_u32).find(|number| {
            let now = start + SECOND * *number / 10;
            in_flight.push_back((now, share.start(now)));
            let timed_out = in_flight.pop_front_if(|(sent_at, _)| now - *sent_at >= SECOND * 30);
            timed_out.is_some_and(|(_, request)| {
                share.finish(request, now, true);
                share.is_critical(now)
            })
        });
        // The request with number 300 is sent when the first one times out.
        assert_eq!(critical, Some(304));
    }

    #[test]
    fn failures_far_apart_are_not_critical() {
        let (mut share, now) = (FailureShare::new(2), Instant::now());
        assert!(!request(&mut share, now, true));
        assert!(!share.is_critical(now + FAILURE_WINDOW + SECOND));
        assert!(!request(&mut share, now + FAILURE_WINDOW + SECOND, true));
        assert!(request(&mut share, now + FAILURE_WINDOW * 2, true));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut share, now) = (FailureShare::new(5), Instant::now());
        for _ in 0..3 * MAX_OUTCOMES {
            request(&mut share, now, false);
        }
        assert_eq!((share.outcomes.len(), share.in_flight.len()), (MAX_OUTCOMES, 0));
        request(&mut share, now + BUSY_WINDOW + SECOND, false);
        assert_eq!(share.outcomes.len(), 6);
    }

    /// A request of the naive model.
    #[derive(Clone, Copy, Debug)]
    struct Known {
        number: RequestNumber,
        sent_at: Instant,
        first_text_at: Option<Instant>,
        ended: Option<(Instant, bool)>,
    }

    /// Counts as the description of [`FailureShare`] says, from the list of all requests.
    fn count_naively(threshold: usize, known: &[Known], ends: &[usize], now: Instant) -> FailureCount {
        let newest_end = ends.last().and_then(|index| known[*index].ended).map_or(now, |(at, _)| at);
        let outcomes = ends.iter().rev().map(|index| known[*index].ended.unwrap());
        let counted: Vec<_> = outcomes
            .enumerate()
            .filter(|(place, (at, _))| *place < 4 * threshold / 3 || newest_end - *at <= BUSY_WINDOW)
            .filter(|(_, (at, _))| now - *at <= FAILURE_WINDOW)
            .collect();
        let failed = ends.iter().rev().find(|index| known[**index].ended.is_some_and(|(_, failed)| failed));
        let waiting = known.iter().filter(|request| {
            let seen_at = request.first_text_at.unwrap_or(request.sent_at);
            request.ended.is_none()
                && failed.is_some_and(|index| request.sent_at <= known[*index].sent_at + CROWD_WINDOW)
                && now - seen_at <= IN_FLIGHT_WINDOW
        });
        FailureCount {
            failures: counted.iter().filter(|(_, (_, has_failed))| *has_failed).count(),
            requests: counted.len() + waiting.count(),
        }
    }

    proptest! {
        /// In every order of events, the count equals that of a list of all requests.
        #[test]
        fn counts_like_a_list_of_all_requests(
            threshold in 1_usize..6,
            steps in prop::collection::vec((0_u8..5, 0_u64..100, any::<prop::sample::Index>()), 0..300),
        ) {
            let (mut share, mut now) = (FailureShare::new(threshold), Instant::now());
            let (mut known, mut ends) = (Vec::<Known>::new(), Vec::new());
            for (step, wait, index) in steps {
                // Mostly milliseconds, sometimes many seconds.
                now += if wait > 90 { SECOND * 7 } else { Duration::from_millis(wait * 10) };
                let open: Vec<usize> =
                    (0..known.len()).filter(|index| known[*index].ended.is_none()).collect();
                if step < 2 || open.is_empty() {
                    let number = share.start(now);
                    known.push(Known { number, sent_at: now, first_text_at: None, ended: None });
                } else {
                    let place = open[index.index(open.len())];
                    let number = known[place].number;
                    if step == 2 {
                        share.record_first_text(number, now);
                        known[place].first_text_at = Some(now);
                    } else {
                        share.finish(number, now, step == 3);
                        known[place].ended = Some((now, step == 3));
                        ends.push(place);
                    }
                }
                prop_assert_eq!(share.count(now), count_naively(threshold, &known, &ends, now));
            }
        }
    }
}

//! Tests of the circuit breaker.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::ids::SessionId;
use crate::llm::upstream::error_class::UpstreamErrorKind;

const PAUSE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const FAILURE: FailedRequest = FailedRequest { retry_after: None, refusal: None };

fn new_breaker(failure_threshold: u32) -> CircuitBreaker {
    CircuitBreaker::new(BreakerPolicy { failure_threshold, initial_pause: PAUSE })
}

fn address(last: u8) -> AddressKey {
    AddressKey::from_ip(Ipv4Addr::new(192, 0, 2, last).into())
}

fn refused(session: u128, last: u8) -> FailedRequest {
    let refusal = Refusal { kind: UpstreamErrorKind::BadRequest, identity: Some("max_tokens".into()) };
    let asker = Asker { session: SessionId(Uuid::from_u128(session)), address: address(last) };
    FailedRequest { retry_after: None, refusal: Some((refusal, asker)) }
}

impl CircuitBreaker {
    /// Sends a request that fails. Returns whether that opened the breaker.
    fn fail(&mut self, now: Instant, failed: &FailedRequest) -> bool {
        let asker = failed.refusal.as_ref().map_or(address(1), |(_, asker)| asker.address);
        let request = self.admit(now, asker).unwrap();
        self.record_failure(now, request, failed).is_some()
    }

    fn succeed(&mut self, now: Instant) {
        let request = self.admit(now, address(1)).unwrap();
        self.record_success(request, now);
    }

    fn decision(&self, now: Instant) -> BreakerDecision {
        self.peek(now, address(1))
    }
}

fn open_breaker(now: Instant) -> CircuitBreaker {
    let mut breaker = new_breaker(1);
    assert!(breaker.fail(now, &FAILURE));
    breaker
}

/// Returns a breaker that three visitors of one address have opened.
fn breaker_opened_by_refusals(now: Instant) -> CircuitBreaker {
    let mut breaker = new_breaker(3);
    assert_eq!([1, 2, 3].map(|session| breaker.fail(now, &refused(session, 1))), [false, false, true]);
    breaker
}

#[test]
fn failures_open_the_breaker_for_every_address() {
    let (mut breaker, now) = (new_breaker(3), Instant::now());
    breaker.succeed(now);
    assert!(!breaker.fail(now, &FAILURE) && !breaker.fail(now, &FAILURE));
    assert_eq!(breaker.decision(now), BreakerDecision::Allow);
    assert!(breaker.fail(now, &FAILURE));
    for last in [1, 2] {
        let decision = breaker.peek(now + SECOND, address(last));
        assert_eq!(decision, BreakerDecision::Reject(PAUSE - SECOND));
    }
    let newest = FailureCount { failures: 3, requests: 4 };
    assert_eq!(breaker.status(now).cause, Some(OutageCause::Failures(newest)));
}

#[test]
fn a_threshold_of_zero_never_opens_the_breaker() {
    let (mut breaker, now) = (new_breaker(0), Instant::now());
    assert!((0..100).all(|session| !breaker.fail(now, &FAILURE) && !breaker.fail(now, &refused(session, 1))));
}

#[test]
fn one_probe_passes_after_the_pause_and_its_success_closes_the_breaker() {
    let now = Instant::now();
    let (mut breaker, later) = (open_breaker(now), now + PAUSE);
    let probe = breaker.admit(later, address(1)).unwrap();
    assert_eq!(breaker.admit(later, address(1)), Err(PAUSE));
    assert_eq!(breaker.state(later), BreakerState::HalfOpen { age: PAUSE, probing: true });
    breaker.record_first_text(probe, later);
    assert_eq!(
        (breaker.decision(later), breaker.state(later)),
        (BreakerDecision::Allow, BreakerState::Closed)
    );
    assert_eq!(breaker.status(later).newest.failures, 0);
}

#[test]
fn success_of_a_request_from_before_the_outage_does_not_close_the_breaker() {
    let (mut breaker, now) = (new_breaker(2), Instant::now());
    let before = breaker.admit(now, address(1)).unwrap();
    assert!([1, 2, 3, 4].iter().any(|_| breaker.fail(now, &FAILURE)));
    breaker.record_success(before, now);
    assert_eq!(breaker.decision(now), BreakerDecision::Reject(PAUSE));
}

#[test]
fn failed_probe_doubles_the_pause_up_to_the_maximum() {
    let mut now = Instant::now();
    let mut breaker = open_breaker(now);
    for pause in [20, 40, 80, 160, 300, 300].map(Duration::from_secs) {
        now += MAX_PAUSE;
        assert!(breaker.fail(now, &FAILURE));
        assert_eq!(breaker.decision(now), BreakerDecision::Reject(pause));
    }
}

#[test]
fn stopped_or_refused_probe_makes_the_next_request_the_probe() {
    let now = Instant::now();
    let (mut breaker, later) = (open_breaker(now), now + PAUSE);
    let probe = breaker.admit(later, address(1)).unwrap();
    breaker.record_stop(probe);
    assert_eq!(breaker.decision(later), BreakerDecision::Probe);
    assert!(!breaker.fail(later, &refused(1, 1)));
    assert_eq!(breaker.decision(later), BreakerDecision::Probe);
}

#[test]
fn late_failures_do_not_extend_an_outage_and_retry_after_does() {
    let (mut breaker, now) = (new_breaker(1), Instant::now());
    let late = breaker.admit(now, address(1)).unwrap();
    let now = now + SECOND * 11;
    assert!(breaker.fail(now, &FAILURE), "what hangs does not hide an outage");
    assert_eq!(breaker.record_failure(now + SECOND, late, &FAILURE), None);
    assert_eq!(breaker.decision(now + PAUSE), BreakerDecision::Probe);
    for (retry_after, pause) in [(PAUSE * 3, PAUSE * 3), (Duration::from_secs(86_400), MAX_PAUSE)] {
        let mut breaker = new_breaker(1);
        breaker.fail(now, &FailedRequest { retry_after: Some(retry_after), refusal: None });
        assert_eq!(breaker.decision(now), BreakerDecision::Reject(pause));
    }
}

#[test]
fn a_refusal_of_every_visitor_opens_the_breaker_and_one_visitor_does_not() {
    let (mut breaker, now) = (new_breaker(3), Instant::now());
    assert!((0..10).all(|_| !breaker.fail(now, &refused(1, 1))));
    assert!(!breaker.fail(now, &refused(2, 2)));
    breaker.succeed(now);
    assert!(!breaker.fail(now, &refused(3, 3)) && !breaker.fail(now, &refused(4, 4)));
    assert!(breaker.fail(now, &refused(5, 5)));
    let (refusal, _) = refused(0, 0).refusal.unwrap();
    assert!(breaker.is_common_refusal(&refusal));
    assert!(!breaker.is_common_refusal(&Refusal { identity: None, ..refusal }));
    assert_eq!(breaker.peek(now, address(9)), BreakerDecision::Reject(PAUSE));
}

#[test]
fn refusals_of_one_address_close_the_model_only_to_that_address() {
    let now = Instant::now();
    let mut breaker = breaker_opened_by_refusals(now);
    assert_eq!(breaker.decision(now), BreakerDecision::Reject(PAUSE));
    assert_eq!(breaker.peek(now, address(2)), BreakerDecision::Allow);

    let other = breaker.admit(now, address(2)).unwrap();
    breaker.record_first_text(other, now);
    assert_eq!(breaker.decision(now), BreakerDecision::Allow, "others are answered");
}

#[test]
fn refusal_of_another_address_closes_the_model_to_all() {
    let now = Instant::now();
    let mut breaker = breaker_opened_by_refusals(now);
    assert!(breaker.fail(now, &refused(4, 2)));
    assert_eq!(breaker.peek(now, address(3)), BreakerDecision::Reject(PAUSE));
}

#[test]
fn failures_that_meet_other_addresses_open_the_breaker_for_all() {
    let now = Instant::now();
    let mut breaker = breaker_opened_by_refusals(now);
    for opens in [false, false, true] {
        let request = breaker.admit(now, address(2)).unwrap();
        assert_eq!(breaker.record_failure(now, request, &FAILURE).is_some(), opens);
    }
    assert_eq!(breaker.peek(now, address(3)), BreakerDecision::Reject(PAUSE));
}

#[test]
fn refused_probe_of_an_outage_by_refusals_keeps_the_pause() {
    let mut now = Instant::now();
    let mut breaker = breaker_opened_by_refusals(now);
    for session in 4..8 {
        now += PAUSE;
        assert!(breaker.fail(now, &refused(session, 1)));
        assert_eq!(breaker.decision(now), BreakerDecision::Reject(PAUSE));
    }
    breaker.succeed(now + PAUSE);
    assert_eq!(breaker.decision(now + PAUSE), BreakerDecision::Allow);
}

proptest! {
    /// In every order of events, at most one probe is in flight for each outage, no pause
    /// exceeds the maximum, a breaker opens only with a reason, and an outage ends with the
    /// success of a request that was sent during it.
    #[test]
    fn at_most_one_probe_is_in_flight_and_every_pause_ends(
        steps in prop::collection::vec(
            (0_u8..6, 0_u64..20, any::<prop::sample::Index>(), 0_u128..4, 1_u8..3), 0..200)
    ) {
        let (mut breaker, mut now) = (new_breaker(2), Instant::now());
        let mut in_flight = Vec::new();
        let mut probe = None;
        for (step, seconds, index, session, last) in steps {
            now += Duration::from_secs(seconds);
            if step < 2 || in_flight.is_empty() {
                let decision = breaker.peek(now, address(last));
                match (breaker.admit(now, address(last)), decision) {
                    (Ok(request), BreakerDecision::Probe) => {
                        prop_assert!(probe.is_none_or(|probe| !in_flight.contains(&probe)));
                        probe = Some(request);
                        in_flight.push(request);
                    }
                    (Ok(request), BreakerDecision::Allow) => in_flight.push(request),
                    (Err(pause), BreakerDecision::Reject(_)) => prop_assert!(pause <= MAX_PAUSE),
                    unexpected => prop_assert!(false, "{unexpected:?}"),
                }
                continue;
            }
            let request = in_flight.swap_remove(index.index(in_flight.len()));
            let before = breaker.outage.clone();
            match step {
                2 => {
                    breaker.record_success(request, now);
                    if before.is_some_and(|outage| request >= outage.first_request) {
                        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
                    }
                }
                3 => {
                    let opened = breaker.record_failure(now, request, &FAILURE).is_some();
                    let was_probe = before.is_some_and(|outage| outage.probe == Some(request));
                    prop_assert!(opened || !was_probe);
                    prop_assert!(!opened || was_probe || breaker.share.is_critical(now));
                }
                4 => {
                    breaker.record_failure(now, request, &refused(session, last));
                }
                _ => breaker.record_stop(request),
            }
            if breaker.outage.as_ref().is_none_or(|outage| outage.probe.is_none()) {
                probe = None;
            }
        }
        for request in in_flight {
            breaker.record_stop(request);
        }
        prop_assert!(!matches!(breaker.decision(now + MAX_PAUSE), BreakerDecision::Reject(_)));
    }
}

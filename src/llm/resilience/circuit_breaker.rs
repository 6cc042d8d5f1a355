//! A circuit breaker for the upstream server. A plain value.
//!
//! While the breaker is closed, all requests pass. It opens and rejects requests when too large a
//! share of them fails ([`FailureShare`]), or when one visitor after the other is refused in the
//! same way ([`RefusalStreak`]). After a pause one request passes as a probe: its success closes
//! the breaker, its failure opens it again.

use std::time::{Duration, Instant};

use crate::limits::AddressKey;
use crate::llm::resilience::failure_share::{FailureCount, FailureShare, RequestNumber};
use crate::llm::resilience::refusal_streak::{Asker, CommonRefusal, Refusal, RefusalStreak};
use crate::system::backoff::Backoff;

/// The maximum pause, so that an outage is probed several times per hour.
pub const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// The least number of failures among the newest requests, and the number of visitors whom one
    /// refusal must meet. If 0, the breaker never opens.
    pub failure_threshold: u32,
    /// The first pause. Each failed probe doubles it, up to [`MAX_PAUSE`].
    pub initial_pause: Duration,
}

/// A circuit breaker.
#[derive(Debug)]
pub struct CircuitBreaker {
    policy: BreakerPolicy,
    share: FailureShare,
    refusals: RefusalStreak,
    /// The outage, while the breaker is not closed.
    outage: Option<Outage>,
}

#[derive(Clone, Debug)]
struct Outage {
    /// When the breaker opened first. A failed probe continues the same outage.
    since: Instant,
    /// The first request that was sent afterwards.
    first_request: RequestNumber,
    cause: OutageCause,
    paused_until: Instant,
    pause: Duration,
    probe: Option<RequestNumber>,
}

/// Why a breaker opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutageCause {
    /// Too many of the newest requests failed.
    Failures(FailureCount),
    /// The server refuses every visitor in the same way. If all these visitors have one address,
    /// the breaker rejects only requests of this address: one visitor can open many sessions, and
    /// must not close the model to others.
    Refusal(CommonRefusal),
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    /// The breaker is closed.
    Allow,
    /// The request is the only one, to find out whether the server has recovered.
    Probe,
    /// No request may be sent for this long.
    Reject(Duration),
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct FailedRequest {
    /// How long the server asks clients to wait.
    pub retry_after: Option<Duration>,
    /// What was refused and to whom, if the question itself may be the cause. `None` for a failure
    /// that any other question would probably meet too.
    pub refusal: Option<(Refusal, Asker)>,
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All requests pass.
    Closed,
    /// All requests are rejected.
    Open {
        /// How long the outage has lasted.
        age: Duration,
        /// How long until the next probe.
        pause: Duration,
    },
    /// The pause is over; the next request, or the one in flight, is the probe.
    HalfOpen {
        /// How long the outage has lasted.
        age: Duration,
        /// Whether a probe is in flight.
        probing: bool,
    },
}

/// A breaker as health checks report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerStatus {
    pub state: BreakerState,
    /// The failures among the newest requests.
    pub newest: FailureCount,
    /// Why the breaker is not closed.
    pub cause: Option<OutageCause>,
}

impl OutageCause {
    /// Returns the only address whose requests are rejected; `None` if all are.
    #[must_use]
    pub const fn only_address(&self) -> Option<AddressKey> {
        match self {
            Self::Failures(_) => None,
            Self::Refusal(common) => common.address,
        }
    }

    fn is_refusal(&self, refusal: &Refusal) -> bool {
        matches!(self, Self::Refusal(common) if common.refusal == *refusal)
    }
}

impl CircuitBreaker {
    /// Returns a closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        let threshold = usize::try_from(policy.failure_threshold).unwrap_or(usize::MAX);
        let (share, refusals) = (FailureShare::new(threshold), RefusalStreak::new(threshold));
        Self { policy, share, refusals, outage: None }
    }

    /// Starts a request of a client with this address at `now`.
    ///
    /// The caller must report its end: [`Self::record_success`], [`Self::record_failure`] or
    /// [`Self::record_stop`].
    ///
    /// # Errors
    /// Returns how long no request may be sent, if the breaker is open.
    pub fn admit(&mut self, now: Instant, address: AddressKey) -> Result<RequestNumber, Duration> {
        let decision = self.peek(now, address);
        if let BreakerDecision::Reject(pause) = decision {
            return Err(pause);
        }
        let number = self.share.start(now);
        if let (BreakerDecision::Probe, Some(outage)) = (decision, &mut self.outage) {
            outage.probe = Some(number);
        }
        Ok(number)
    }

    /// Returns what [`Self::admit`] would decide, without starting a request.
    #[must_use]
    pub fn peek(&self, now: Instant, address: AddressKey) -> BreakerDecision {
        match &self.outage {
            None => BreakerDecision::Allow,
            Some(outage) if outage.cause.only_address().is_some_and(|only| only != address) => {
                BreakerDecision::Allow
            }
            Some(Outage { paused_until, .. }) if now < *paused_until => {
                BreakerDecision::Reject(paused_until.duration_since(now))
            }
            Some(Outage { probe: Some(_), .. }) => BreakerDecision::Reject(self.policy.initial_pause),
            Some(_) => BreakerDecision::Probe,
        }
    }

    /// Returns whether requests are rejected at `now`, be it only those of one address.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        let outage = self.outage.as_ref();
        outage.is_some_and(|outage| now < outage.paused_until || outage.probe.is_some())
    }

    /// Returns whether the breaker is open, or waits for a probe, because of this refusal.
    #[must_use]
    pub fn is_common_refusal(&self, refusal: &Refusal) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.cause.is_refusal(refusal))
    }

    /// Records the first text of a request: the server answers, however long the rest takes.
    pub fn record_first_text(&mut self, request: RequestNumber, now: Instant) {
        self.share.record_first_text(request, now);
        self.refusals.end();
        self.close_after(request);
    }

    /// Records that the server answered a request.
    pub fn record_success(&mut self, request: RequestNumber, now: Instant) {
        self.share.finish(request, now, false);
        self.refusals.end();
        self.close_after(request);
    }

    /// Closes the breaker, unless the request was sent before it opened.
    fn close_after(&mut self, request: RequestNumber) {
        if self.outage.take_if(|outage| request >= outage.first_request).is_some() {
            self.share.clear();
        }
    }

    /// Records that a request ended without a result. If it was the probe, the next one becomes the
    /// probe.
    pub fn record_stop(&mut self, request: RequestNumber) {
        self.share.forget(request);
        self.end_probe(request);
    }

    /// Records that a request failed at `now`. Returns the cause if that opened the breaker.
    pub fn record_failure(
        &mut self,
        now: Instant,
        request: RequestNumber,
        failed: &FailedRequest,
    ) -> Option<&OutageCause> {
        let is_probe = self.end_probe(request);
        let cause = match &failed.refusal {
            Some((refusal, asker)) => {
                // The server responded, which says nothing about its failures.
                self.share.forget(request);
                let common = self.refusals.add(refusal, *asker)?;
                self.refusal_cause(common, is_probe)?
            }
            None => {
                self.share.finish(request, now, true);
                self.failure_cause(now, request, is_probe)?
            }
        };
        self.open(now, cause, failed.retry_after, is_probe)
    }

    /// Returns the cause if a common refusal opens the breaker, or keeps it open for longer.
    fn refusal_cause(&self, common: CommonRefusal, is_probe: bool) -> Option<OutageCause> {
        let is_known = self.outage.as_ref().is_some_and(|outage| {
            // A streak that has reached other addresses concerns everybody.
            let is_wider = outage.cause.only_address().is_some() && common.address.is_none();
            !is_probe && !is_wider
        });
        (!is_known).then_some(OutageCause::Refusal(common))
    }

    fn failure_cause(&self, now: Instant, request: RequestNumber, is_probe: bool) -> Option<OutageCause> {
        let opens = match &self.outage {
            Some(_) if is_probe => true,
            // Requests of other addresses pass.
            Some(outage) if outage.cause.only_address().is_some() => {
                request >= outage.first_request && self.share.is_critical(now)
            }
            // The request was sent before the breaker opened, so its failure is part of the same
            // outage.
            Some(_) => false,
            None => self.share.is_critical(now),
        };
        opens.then(|| OutageCause::Failures(self.share.count(now)))
    }

    fn open(
        &mut self,
        now: Instant,
        cause: OutageCause,
        retry_after: Option<Duration>,
        is_probe: bool,
    ) -> Option<&OutageCause> {
        if self.policy.failure_threshold == 0 {
            return None;
        }
        let previous = self.outage.as_ref();
        let pause = match (previous, &cause) {
            // A probe after a refusal costs nothing, and a visitor may have caused it.
            (Some(outage), OutageCause::Failures(_)) if is_probe => {
                Backoff::new(self.policy.initial_pause, MAX_PAUSE).delay_after(outage.pause)
            }
            _ => self.policy.initial_pause,
        };
        let pause = pause.max(retry_after.unwrap_or_default()).min(MAX_PAUSE);
        let since = previous.map_or(now, |outage| outage.since);
        let first_request = previous.map_or(self.share.next_number(), |outage| outage.first_request);
        let outage = Outage { since, first_request, cause, paused_until: now + pause, pause, probe: None };
        Some(&self.outage.insert(outage).cause)
    }

    /// Returns whether the request was the probe.
    fn end_probe(&mut self, request: RequestNumber) -> bool {
        let probe = self.outage.as_mut().map(|outage| &mut outage.probe);
        probe.is_some_and(|probe| probe.take_if(|probe| *probe == request).is_some())
    }

    /// Returns the status at `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> BreakerStatus {
        BreakerStatus {
            state: self.state(now),
            newest: self.share.count(now),
            cause: self.outage.as_ref().map(|outage| outage.cause.clone()),
        }
    }

    fn state(&self, now: Instant) -> BreakerState {
        let Some(outage) = &self.outage else { return BreakerState::Closed };
        let age = now.saturating_duration_since(outage.since);
        if now < outage.paused_until {
            BreakerState::Open { age, pause: outage.paused_until.duration_since(now) }
        } else {
            BreakerState::HalfOpen { age, probing: outage.probe.is_some() }
        }
    }
}

#[cfg(test)]
mod tests;

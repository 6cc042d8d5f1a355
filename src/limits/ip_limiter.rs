//! The limits of all client addresses, shared between connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limiter_state::LimiterState;
use super::{AddressKey, IpLimitExceeded, IpLimits, Occupancy};
use crate::domain::clock::Timestamp;
use crate::telemetry::metrics::Metrics;

/// Entries that are examined whenever a connection opens, so that idle addresses are removed
/// without a task.
const SWEPT_PER_CONNECTION: usize = 16;

/// Limits the connections, sessions and questions of each client address. A decision takes well
/// under a microsecond, so a mutex is fast enough.
#[derive(Debug)]
pub struct IpLimiter {
    state: Mutex<LimiterState>,
    metrics: Arc<Metrics>,
}

/// A connection that is counted for its address until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    limiter: Arc<IpLimiter>,
    address: AddressKey,
}

impl IpLimiter {
    /// Returns a limiter that counts what it refuses in `metrics`.
    #[must_use]
    pub fn new(limits: IpLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(LimiterState::new(limits)), metrics })
    }

    /// Counts an open connection.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the address or the server has the maximum number of connections.
    pub fn admit(
        self: &Arc<Self>,
        now: Timestamp,
        address: AddressKey,
    ) -> Result<ConnectionGuard, IpLimitExceeded> {
        let decision = {
            let mut state = self.lock();
            state.sweep(now, SWEPT_PER_CONNECTION);
            state.connect(address)
        };
        self.count_refusal(decision)?;
        Ok(ConnectionGuard { limiter: Arc::clone(self), address })
    }

    /// Returns how full the tables are.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.lock().occupancy()
    }

    fn count_refusal(&self, decision: Result<(), IpLimitExceeded>) -> Result<(), IpLimitExceeded> {
        decision.inspect_err(|exceeded| self.metrics.limits.refused(exceeded.limit))
    }

    fn lock(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionGuard {
    /// Returns the address that the connection is counted for.
    #[must_use]
    pub fn address(&self) -> AddressKey {
        self.address
    }

    /// Counts one question. It cannot be given back, so call this after every other check.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the address has asked the maximum number of questions in a minute.
    pub fn take_question(&self, now: Timestamp) -> Result<(), IpLimitExceeded> {
        let decision = self.limiter.lock().take_question(now, self.address);
        self.limiter.count_refusal(decision)
    }

    /// Counts one new session.
    ///
    /// # Errors
    /// [`IpLimitExceeded`] if the address has started the maximum number of sessions in an hour.
    pub fn take_session(&self, now: Timestamp) -> Result<(), IpLimitExceeded> {
        let decision = self.limiter.lock().take_session(now, self.address);
        self.limiter.count_refusal(decision)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.limiter.lock().disconnect(self.address);
    }
}

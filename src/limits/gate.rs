//! The limits of all addresses, shared by the connections that ask of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AddressKey, AddressLimits, Exceeded, Limits};
use crate::domain::address_limit::TableOccupancy;
use crate::domain::clock::Timestamp;
use crate::telemetry::metrics::Metrics;

/// Entries looked at whenever a connection opens, so that idle addresses leave without a task of their own.
const SWEPT_PER_CONNECTION: usize = 16;

/// Lets connections of an address in, and counts what they take. Every decision takes well under a microsecond, so a
/// lock serves.
#[derive(Debug)]
pub struct AddressGate {
    limits: Mutex<AddressLimits>,
    metrics: Arc<Metrics>,
}

/// A connection that was let in; leaves when dropped.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<AddressGate>,
    address: AddressKey,
}

impl AddressGate {
    /// A gate nobody has come through yet, which counts whom it refuses.
    #[must_use]
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits: Mutex::new(AddressLimits::new(limits)), metrics })
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// [`Exceeded`] when the address has as many as it may.
    pub fn admit(self: &Arc<Self>, now: Timestamp, address: AddressKey) -> Result<Admitted, Exceeded> {
        let admitted = {
            let mut limits = self.lock();
            limits.sweep(now, SWEPT_PER_CONNECTION);
            limits.connected(address)
        };
        self.counted(admitted)?;
        Ok(Admitted { gate: Arc::clone(self), address })
    }

    /// How full the tables are.
    #[must_use]
    pub fn occupancy(&self) -> TableOccupancy {
        self.lock().occupancy()
    }

    fn counted(&self, decision: Result<(), Exceeded>) -> Result<(), Exceeded> {
        decision.inspect_err(|exceeded| self.metrics.limits.count_rejection(exceeded.limit))
    }

    fn lock(&self) -> MutexGuard<'_, AddressLimits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// Whose limits it counts against.
    #[must_use]
    pub fn address(&self) -> AddressKey {
        self.address
    }

    /// Takes one question. It cannot be given back, so this is asked last.
    ///
    /// # Errors
    /// [`Exceeded`] when the address has asked as many as it may in a minute.
    pub fn ask(&self, now: Timestamp) -> Result<(), Exceeded> {
        let decision = self.gate.lock().ask(now, self.address);
        self.gate.counted(decision)
    }

    /// Takes one new session.
    ///
    /// # Errors
    /// [`Exceeded`] when the address has started as many as it may in an hour.
    pub fn start_session(&self, now: Timestamp) -> Result<(), Exceeded> {
        let decision = self.gate.lock().start_session(now, self.address);
        self.gate.counted(decision)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gate.lock().disconnected(self.address);
    }
}

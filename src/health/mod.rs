//! Health checks.
//!
//! [`HealthActor`] receives [`CheckHealth`]; it sends `CheckStorage`, `CheckWriter` and
//! `CheckModel`. It owns the newest result of each check. The checks run every few seconds, so that
//! a shallow request is free and still notices when the database becomes unavailable. Concurrent
//! deep requests share one run. The actor stops with the process.

mod actor;
mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;
use serde::Serialize;
use utoipa::ToSchema;

pub use actor::HealthActor;

use crate::budget::BudgetTracker;
use crate::llm::messages::CheckModel;
use crate::mailbox::Address;
use crate::persistence::messages::{CheckStorage, CheckWriter};
use crate::session::registry::Registry;
use crate::supervision::Supervision;
use crate::telemetry::metrics::Metrics;

/// Asks for a health report.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "HealthReport")]
pub struct CheckHealth {
    /// Whether to run every check now instead of reporting the newest results. No check costs
    /// money.
    pub deep: bool,
}

/// A health report.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// The worst status of the checks.
    pub status: HealthStatus,
    /// The version of this server.
    pub version: &'static str,
    /// Seconds since start.
    pub uptime_s: u64,
    /// The checks by name.
    pub checks: BTreeMap<&'static str, Check>,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    /// The status of the checked part.
    pub status: HealthStatus,
    /// A sentence for the operator.
    pub detail: String,
    /// How long the check took, in milliseconds, to its end or to its timeout.
    pub latency_ms: f64,
    /// How long ago the check was started, in milliseconds.
    pub age_ms: f64,
    /// The number of messages in the mailbox of each shared actor; only in the check `actors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<BTreeMap<&'static str, u64>>,
}

/// The status of the server or of a part of it, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything works.
    Healthy,
    /// Works with restrictions.
    Degraded,
    /// Does not work.
    Unhealthy,
}

impl HealthReport {
    /// Returns whether everything works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.status == HealthStatus::Healthy
    }

    /// Returns whether the server should receive visitors, which includes degraded operation.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status < HealthStatus::Unhealthy
    }
}

/// The components that the health actor checks.
pub struct HealthParts {
    pub storage: Address<CheckStorage>,
    pub writer: Address<CheckWriter>,
    pub model: Address<CheckModel>,
    /// The source of the mailbox depths.
    pub metrics: Arc<Metrics>,
    /// The source of exceeded restart limits.
    pub supervision: Arc<Supervision>,
    /// The source of the number of connections and of whether the server is shutting down.
    pub registry: Arc<Registry>,
    /// The budget of the model; `None` without a model.
    pub budget: Option<Arc<BudgetTracker>>,
    /// A description of the resume.
    pub resume: String,
}

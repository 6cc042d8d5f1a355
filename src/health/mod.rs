//! Whether the server can do its work.
//!
//! [`HealthActor`] receives [`CheckHealth`]; it sends `CheckStorage`, `CheckWriter` and `CheckModel`. It owns the newest result of
//! each check, renewed every few seconds, so that a shallow check costs nothing and a deep one is never needed to
//! notice that the database is gone. Deep checks asked for at the same time share one. It stops with the process.

mod actor;
mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;
use serde::Serialize;
use utoipa::ToSchema;

pub use actor::HealthActor;

use crate::llm::messages::CheckModel;
use crate::mailbox::Address;
use crate::persistence::messages::{CheckStorage, CheckWriter};
use crate::session::registry::Registry;
use crate::supervision::Supervision;
use crate::telemetry::metrics::Metrics;

/// Ask how the server is.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "HealthReport")]
pub struct CheckHealth {
    /// Run every check now, instead of telling the newest results. Never a request that costs money.
    pub deep: bool,
}

/// How the server is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// The worst of the checks.
    pub status: HealthStatus,
    /// Of this binary.
    pub version: &'static str,
    /// Seconds since start.
    pub uptime_s: u64,
    /// The checks by name.
    pub checks: BTreeMap<&'static str, Check>,
}

/// How one part is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    /// How it is.
    pub status: HealthStatus,
    /// A sentence for the operator.
    pub detail: String,
    /// How long the check took, in milliseconds, to its end or until it was given up.
    pub latency_ms: f64,
    /// How long ago the check was begun, in milliseconds.
    pub age_ms: f64,
    /// Messages that wait for each shared actor, with the check of the actors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<BTreeMap<&'static str, u64>>,
}

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Does all it should.
    Healthy,
    /// Does less than it should.
    Degraded,
    /// Cannot do its work.
    Unhealthy,
}

impl HealthReport {
    /// Whether an orchestrator should be content.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.status == HealthStatus::Healthy
    }

    /// Whether visitors should be sent here: also while they get less than usual.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status < HealthStatus::Unhealthy
    }
}

/// What the actor is made of.
pub struct HealthParts {
    /// The database's owner.
    pub storage: Address<CheckStorage>,
    /// The same, asked how its writing goes.
    pub writer: Address<CheckWriter>,
    /// The answers' owner.
    pub model: Address<CheckModel>,
    /// How full the mailboxes are.
    pub metrics: Arc<Metrics>,
    /// Whether the process can go on.
    pub supervision: Arc<Supervision>,
    /// Who is connected, and whether the server is about to leave.
    pub registry: Arc<Registry>,
    /// What is known of the resume.
    pub resume: String,
}

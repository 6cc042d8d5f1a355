//! Costs that the upstream server reports after the answer.

pub mod cost_reconciler;
pub mod pending_cost;

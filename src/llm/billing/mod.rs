//! Costs that upstream reports only after the answer: which are pending, and their reconciliation.

pub mod cost_reconciler;
pub mod pending_cost;

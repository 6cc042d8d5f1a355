//! Token and cost budgets: per day, per client address or IPv6 network and day, and per session.
//!
//! Before a request goes to the model server, the maximum that its answer can use is reserved. When
//! the answer has ended, the amount it really used replaces the reservation. Concurrent questions
//! therefore cannot overspend together, and a reservation that a crash leaves unsettled counts as
//! used. The store keeps the same accounts and applies the same two steps in the transactions that
//! store the question and the answer, so a restart loses nothing, and instances that share a
//! database share the limits.
//!
//! | module | content |
//! |---|---|
//! | [`amount`] | tokens and money, limits, prices |
//! | [`account`] | accounts and the limits that apply to them |
//! | [`ledger`] | the account of the day |
//! | [`account_cache`] | the accounts of sessions and addresses |
//! | [`reservation`] | both, shared between threads |
//! | [`ceiling`] | the most that a day can take, in a sentence |
//! | [`reported_cost`] | the cost of a request as the model server reports it later |
//!
//! Deleting a conversation refunds nothing, although the account of its session is deleted with it.

pub mod account;
pub mod account_cache;
pub mod amount;
pub mod ceiling;
pub mod ledger;
pub mod reported_cost;
pub mod reservation;

pub use account::{Account, AddressDigest, AddressHasher, BudgetPolicy, Payer};
pub use amount::{Amount, BudgetLimits, Day, Prices};
pub use ceiling::DailyCeiling;
pub use ledger::{DayLedger, LedgerTotals, LimitExceeded};
pub use reported_cost::{ReportedCost, RequestTokens};
pub use reservation::{BudgetTracker, Exchange, Reservation};

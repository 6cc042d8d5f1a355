//! What the model may cost: in a day, for one client address in a day, for one session. So the bill cannot run away.
//!
//! Before the model is asked, the most that the answer can take is set aside; when it has ended, what it really took is
//! counted instead. So questions at the same time cannot overspend together, and what a crash leaves unsettled counts
//! as taken whole. The store keeps the same sums by the same two steps, in the transactions that store the question and
//! the answer: a restart forgets nothing, and servers that share a database share the ceilings.
//!
//! In reading order: [`amount`] is what is counted and what it costs, [`account`] is where; [`ledger`] decides for the day and
//! [`books`] for sessions and addresses (plain values), [`reservation`] shares both between answers,
//! [`true_cost`] is what the model's server says afterwards of a request that was broken off.
//!
//! What is absent: deleting a conversation gives nothing back, except that the session's own account goes with it; what was
//! paid stays paid.

pub mod account;
pub mod account_cache;
pub mod amount;
pub mod ledger;
pub mod reported_cost;
pub mod reservation;

pub use account::{Account, AddressDigest, AddressKeeper, Asker, Budget, Scope};
pub use amount::{Amount, Ceilings, Day, Prices};
pub use ledger::{CeilingReached, DayLedger};
pub use reported_cost::TrueCost;
pub use reservation::{Reservation, Spending};

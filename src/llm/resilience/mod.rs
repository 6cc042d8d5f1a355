//! Protection of the model server and of visitors from its failures.
//!
//! | module | contents |
//! |---|---|
//! | [`circuit_breaker`] | stops requests during an outage (a plain value) |
//! | [`failure_share`] | the share of failures among the newest requests (a plain value) |
//! | [`refusal_streak`] | the same refusal of one visitor after the other (a plain value) |
//! | [`retry`] | whether and when to retry (a plain value) |
//! | [`fair_queue`] | the order in which waiting questions get a permit (a plain value) |
//! | [`concurrency_limit`] | permits for concurrent requests, handed out by the queue |

pub mod circuit_breaker;
pub mod concurrency_limit;
pub mod failure_share;
pub mod fair_queue;
pub mod refusal_streak;
pub mod retry;

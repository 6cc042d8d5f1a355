//! Circuit breaker, retries, concurrency limit and the fair queue in front of the model server.

pub mod circuit_breaker;
pub mod concurrency_limit;
pub mod fair_queue;
pub mod retry;

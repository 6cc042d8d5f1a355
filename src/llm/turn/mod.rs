//! The task that carries out one turn: stores the question, generates the answer, stores the
//! answer.
//!
//! | module | contents |
//! |---|---|
//! | [`context`] | the dependencies of all turns, and the state of one turn |
//! | [`store`] | the requests that turns send to the store |
//! | [`checkpoint`] | saves unfinished answers |
//! | [`fallback`] | answers from resume excerpts |
//! | [`attempts`] | requests to the model, with retries |
//! | [`request_usage`] | what one request used (a plain value) |
//! | [`finalize`] | settles, stores and reports an answer that has ended |
//! | [`task`] | the task itself |
//! | [`remote`] | follows a turn of another instance |

pub mod attempts;
pub mod checkpoint;
pub mod context;
pub mod fallback;
pub mod finalize;
pub mod remote;
pub mod request_usage;
pub mod store;
pub mod task;

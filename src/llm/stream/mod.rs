//! The stream of an answer: an append-only buffer with subscribers.

pub mod buffer;
pub mod generation;
pub mod snapshot;
pub mod subscription;

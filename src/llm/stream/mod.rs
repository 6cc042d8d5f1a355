//! The stream of an answer: an append-only buffer that sessions subscribe to.
//!
//! | module | contents |
//! |---|---|
//! | [`outcome`] | how a question was accepted and how its answer ended |
//! | [`cursor`] | a subscriber's position and what it reads there |
//! | [`snapshot`] | the answer as it is stored |
//! | [`buffer`] | the text of the answer, delta by delta (a plain value) |
//! | [`generation`] | the shared handle around the buffer |
//! | [`subscription`] | one subscriber, as a `Stream` |

pub mod buffer;
pub mod cursor;
pub mod generation;
pub mod outcome;
pub mod snapshot;
pub mod subscription;

#[cfg(test)]
mod tests;

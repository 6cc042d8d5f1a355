//! Handlers of client frames, one file per request.
//!
//! Each file adds methods to [`SessionActor`](super::SessionActor). `answer` forwards the progress
//! of an answer, and `replies` has what all of them send.

pub mod answer;
pub mod cancel;
pub mod duplicate;
pub mod feedback;
pub mod forget;
pub mod history;
pub mod question;
pub mod replies;
pub mod resume;
pub mod start;

//! Handlers of client frames, one file per frame type.
//!
//! Each file adds methods to [`SessionActor`](super::SessionActor). `answer` forwards the progress
//! of an answer, `duplicate` replays the answer to a repeated question, and `replies` contains the
//! frames that all handlers send.

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

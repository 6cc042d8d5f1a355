//! Handlers of client frames, one file per request.

pub mod feedback;
pub mod history;
pub mod question;
pub mod resume;

//! Resuming sessions and answers after lost connections, crashes, restarts and takeovers.

mod clock_skew;
mod history_and_resume;
mod panics;
mod restarts;
mod resume_from_store;
mod shutdown;
mod two_instances;

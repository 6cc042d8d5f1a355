//! Start-up and shutdown of the server process.

pub mod shutdown;
pub mod startup;

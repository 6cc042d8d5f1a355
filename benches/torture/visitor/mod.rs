//! Simulated visitors: they ask, interrupt, disconnect, stall, resume, and check what they receive.

pub(crate) mod connection;
mod interruption;
mod question;
mod session_race;
mod state;
mod visit;

pub(crate) use state::{Session, Visitor};

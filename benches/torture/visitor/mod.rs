//! Simulated visitors.

pub(crate) mod connection;
mod question;
mod session_race;
mod state;

pub(crate) use state::{Session, Visitor};

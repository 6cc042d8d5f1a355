//! The task that carries out one turn.

pub mod attempts;
pub mod checkpoint;
pub mod remote;
pub mod task;

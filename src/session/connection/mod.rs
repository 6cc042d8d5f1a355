//! The WebSocket connection of a session: frames in and out, keepalive, slow consumers.

pub mod frame_guard;
pub mod frame_limiter;
pub mod keepalive;
pub mod panic_guard;
pub mod reassembly;
pub mod slow_consumer;
pub mod socket;

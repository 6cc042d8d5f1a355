//! The WebSocket connection of a session: frames in and out, keepalive, slow consumers, panics.
//!
//! Incoming bytes pass `frame_guard` (with `frame_limiter`), the codec of actix, `socket` and
//! `reassembly`. Outgoing bytes pass `panic_guard` and `slow_consumer`.

pub mod connection_log;
pub mod frame_guard;
pub mod frame_limiter;
pub mod keepalive;
pub mod panic_guard;
pub mod reassembly;
pub mod slow_consumer;
pub mod socket;

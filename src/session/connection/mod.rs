//! The connection of a session: frames in and out, keepalive, slow consumers, panics.
//!
//! Incoming bytes of a WebSocket pass `frame_guard` (with `frame_limiter`), the codec of actix,
//! `socket` and `reassembly`. Outgoing bytes pass `panic_guard` and `slow_consumer`. Over an
//! `event_stream`, frames come from its input, and its output lies between these two.

pub mod connection_log;
pub mod event_stream;
pub mod frame_guard;
pub mod frame_limiter;
pub mod frame_rate;
pub mod keepalive;
pub mod panic_guard;
pub mod reassembly;
pub mod slow_consumer;
pub mod socket;

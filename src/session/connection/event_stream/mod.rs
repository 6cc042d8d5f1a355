//! The event stream of a session: the transport for networks that block WebSockets.
//!
//! The session and its context are those of a WebSocket. [`output`] turns the frames that the
//! context writes into server-sent events. [`input`] passes on the frames that clients post, which
//! find their connection in the [`directory`]. Nothing is buffered here except a bounded queue of
//! posted frames. The stream owns the session: when the response is dropped, both end.

pub mod directory;
pub mod input;
pub mod output;

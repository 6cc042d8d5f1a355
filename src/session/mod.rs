//! The session of one visitor: an actor per connection, which is a WebSocket or an event stream.
//!
//! [`SessionActor`] lives exactly as long as its connection. It receives client frames and
//! [`SessionCommand`]s, sends requests to the LLM actor and the persistence actor
//! ([`ActorHandles`]), and forwards the progress of the current answer. Everything it owns can be
//! rebuilt from the store and the LLM actor, so resuming after a lost network, a page reload or a
//! restart is one code path.
//!
//! | module | content |
//! |---|---|
//! | [`actor`] | the actor: dispatch of frames, commands and timers |
//! | [`handlers`] | one file per request of the client, and the progress of an answer |
//! | [`state`] | plain values that decide: conversation, history, token budget, validation |
//! | [`connection`] | the socket, the event stream, frame limits, keepalive, slow consumers, panics |
//! | [`registry`] | all open connections of this instance |
//! | [`context`], [`limits`] | what all sessions share, and their limits and timeouts |
//! | [`messages`] | commands from other parts of the server |
//! | [`takeover`] | closes connections whose session was resumed at another instance |

pub mod actor;
pub mod connection;
pub mod context;
pub mod handlers;
pub mod limits;
pub mod messages;
pub mod registry;
pub mod state;
pub mod takeover;

pub use actor::SessionActor;
pub use context::{ActorHandles, SessionContext};
pub use limits::{SessionLimits, SessionTimeouts};
pub use messages::SessionCommand;

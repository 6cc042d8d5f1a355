//! The messages that a session receives from other parts of the server.

use actix::Message;

/// A command from another part of the server to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum SessionCommand {
    /// Close the connection: the session was taken over by a newer one.
    CloseTakenOver,
    /// Inform the client that the server is about to shut down.
    AnnounceShutdown,
    /// Close the connection, after the client was informed of the end of its answer.
    CloseForShutdown,
}

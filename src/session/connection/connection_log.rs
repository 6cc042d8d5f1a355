//! The loggers of a connection, which add the ids of its request, session and turn to each line.

use std::cell::RefCell;
use std::rc::Rc;

use slog::{Logger, o};

use crate::domain::ids::{SessionId, TurnId};

/// A logger that the panic guard shares with the session, because it cannot access a session that
/// has panicked.
pub type SharedLogger = Rc<RefCell<Logger>>;

/// The logger of a connection, and the logger of the current turn.
#[derive(Debug)]
pub struct ConnectionLog {
    connection: Logger,
    current: SharedLogger,
}

impl ConnectionLog {
    #[must_use]
    pub fn new(connection: Logger) -> Self {
        Self { current: Rc::new(RefCell::new(connection.clone())), connection }
    }

    /// Returns the logger of the connection.
    pub fn connection(&self) -> &Logger {
        &self.connection
    }

    /// Returns the logger of the current turn, or that of the connection between turns.
    #[must_use]
    pub fn shared(&self) -> SharedLogger {
        Rc::clone(&self.current)
    }

    /// Returns a logger for a turn.
    pub fn for_turn(&self, turn_id: TurnId) -> Logger {
        self.connection.new(o!("turn_id" => turn_id.to_string()))
    }

    /// Adds the id of the session to every further line.
    pub fn set_session(&mut self, session_id: SessionId) {
        self.connection = self.connection.new(o!("session_id" => session_id.to_string()));
        self.leave_turn();
    }

    /// Makes `turn` the logger of the current turn.
    pub fn enter_turn(&self, turn: &Logger) {
        *self.current.borrow_mut() = turn.clone();
    }

    pub fn leave_turn(&self) {
        *self.current.borrow_mut() = self.connection.clone();
    }
}

//! The components of the server, as log lines and metrics name them.

use strum::{IntoStaticStr, VariantArray};

/// A component of the server that may panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Component {
    /// The actor of a visitor's connection.
    Session,
    /// The LLM actor, which owns the answers.
    Llm,
    /// The task of one answer.
    Answer,
    /// The persistence actor, and database reads.
    Persistence,
    /// The task that commits writes.
    Writer,
    /// The actor that checks the other components.
    Health,
    /// The task that closes the connections of slow consumers.
    Watchdog,
    /// The task that checks whether a session was taken over by another instance.
    Takeover,
    /// The task that reconciles estimated costs with reported ones.
    CostReconciler,
    /// An HTTP request.
    Http,
    /// Anything else, such as a thread of a library.
    Other,
}

impl Component {
    /// The components that supervision restarts after a panic.
    pub const RESTARTED: [Self; 7] = [
        Self::Llm,
        Self::Persistence,
        Self::Writer,
        Self::Health,
        Self::Watchdog,
        Self::Takeover,
        Self::CostReconciler,
    ];

    /// Returns the label value in metrics and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

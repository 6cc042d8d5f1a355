//! The scopes of token budgets.

use strum::{IntoStaticStr, VariantArray};

/// What a token budget applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum BudgetScope {
    /// All answers of a day (UTC).
    Day,
    /// The answers to one client address on a day.
    Address,
    /// The answers to one IPv6 network (/48) on a day.
    Network,
    /// The answers of one session.
    Session,
}

impl BudgetScope {
    /// Returns the label value in metrics and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

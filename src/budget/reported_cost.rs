//! The cost of a request as the model server reports it after the request was aborted.

use crate::budget::Amount;
use crate::budget::amount::nanodollars;

/// The usage of a request, as the model server reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportedCost {
    /// `None` if the server does not report tokens.
    pub tokens: Option<RequestTokens>,
    /// US dollars; finite and not negative.
    pub dollars: f64,
}

/// The tokens of a request. The model's own count is what is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTokens {
    pub prompt: u32,
    pub completion: u32,
}

impl ReportedCost {
    /// Returns the amount that replaces the estimate `charged`, whose tokens are kept if the server
    /// reports none.
    #[must_use]
    pub fn amount(self, charged: Amount) -> Amount {
        let tokens = self.tokens.map(|tokens| u64::from(tokens.prompt) + u64::from(tokens.completion));
        Amount { tokens: tokens.unwrap_or(charged.tokens), nanodollars: nanodollars(self.dollars) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimated_tokens_are_kept_when_the_server_reports_none() {
        let charged = Amount { tokens: 70, nanodollars: 9 };
        let reported = ReportedCost { tokens: None, dollars: 0.000_002 };
        assert_eq!(reported.amount(charged), Amount { tokens: 70, nanodollars: 2_000 });
        let reported =
            ReportedCost { tokens: Some(RequestTokens { prompt: 40, completion: 2 }), dollars: 0.0 };
        assert_eq!(reported.amount(charged), Amount { tokens: 42, nanodollars: 0 });
    }
}

//! What a request really took, as its server tells some time after it was broken off.

use crate::budget::Amount;
use crate::budget::amount::nanodollars;

/// What a request took, by its server's own account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueCost {
    /// Tokens of the prompt and of the answer, where it says.
    pub tokens: Option<(u32, u32)>,
    /// US dollars, finite and not negative.
    pub dollars: f64,
}

impl TrueCost {
    /// What is to be counted for it instead of `counted`, whose tokens stand where the server names none.
    #[must_use]
    pub fn amount(self, counted: Amount) -> Amount {
        let tokens = self.tokens.map(|(prompt, completion)| u64::from(prompt) + u64::from(completion));
        Amount { tokens: tokens.unwrap_or(counted.tokens), nanodollars: nanodollars(self.dollars) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_the_server_does_not_name_stay_as_they_were_counted() {
        let counted = Amount { tokens: 70, nanodollars: 9 };
        let known = TrueCost { tokens: None, dollars: 0.000_002 };
        assert_eq!(known.amount(counted), Amount { tokens: 70, nanodollars: 2_000 });
        let known = TrueCost { tokens: Some((40, 2)), dollars: 0.0 };
        assert_eq!(known.amount(counted), Amount { tokens: 42, nanodollars: 0 });
    }
}

//! The most that a day can take, in tokens and in dollars.

use std::fmt;

use crate::budget::{BudgetPolicy, Prices};

const NANODOLLARS_PER_CENT: u64 = 10_000_000;

/// The number of tokens that a price is for.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// The most that a day can take. `Display` is a sentence for the owner, without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyCeiling {
    /// The tokens of a day; `None` for no limit.
    pub tokens: Option<u64>,
    /// The tokens of a client address on a day; `None` for no limit.
    pub address_tokens: Option<u64>,
    /// The cost of a day.
    pub cost: CostCeiling,
}

/// The most that a day can cost, in billionths of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostCeiling {
    /// The cost limit, or the price of all tokens if that is less.
    Limited(u64),
    /// The price of all tokens, without a cost limit.
    ByTokens(u64),
    /// Neither the cost nor the tokens are limited.
    Unlimited,
    /// The prices are unknown. With a limit, only costs that the model server reports count.
    Unknown { limit: Option<u64> },
}

impl DailyCeiling {
    /// Returns the ceiling of the limits and the prices.
    #[must_use]
    pub fn new(policy: &BudgetPolicy, prices: Option<Prices>) -> Self {
        let (tokens, limit) = (policy.day.tokens, policy.day.nanodollars);
        let cost = match prices {
            None => CostCeiling::Unknown { limit },
            Some(prices) => {
                let cost_of_tokens = tokens.map(|tokens| highest_cost(tokens, prices));
                match (limit, cost_of_tokens) {
                    (Some(limit), Some(cost)) => CostCeiling::Limited(limit.min(cost)),
                    (Some(limit), None) => CostCeiling::Limited(limit),
                    (None, Some(cost)) => CostCeiling::ByTokens(cost),
                    (None, None) => CostCeiling::Unlimited,
                }
            }
        };
        Self { tokens, address_tokens: policy.address.tokens, cost }
    }

    /// Returns the parts of the sentence: the tokens of the day, those of a client address, and the
    /// cost of the day.
    #[must_use]
    pub fn parts(&self) -> [String; 3] {
        let tokens = match self.tokens {
            Some(tokens) => format!("at most {} tokens a day", grouped(tokens)),
            None => "no limit on the tokens of a day".to_owned(),
        };
        let address = match self.address_tokens {
            Some(tokens) => format!("at most {} tokens a day per client address", grouped(tokens)),
            None => "no limit per client address".to_owned(),
        };
        let cost = match self.cost {
            CostCeiling::Limited(cost) => format!("at most {} dollars a day", dollars(cost)),
            CostCeiling::ByTokens(cost) => {
                format!("at most {} dollars a day for these tokens, no limit on the cost", dollars(cost))
            }
            CostCeiling::Unlimited => "no limit on the cost of a day".to_owned(),
            CostCeiling::Unknown { limit: Some(limit) } => format!(
                "prices unknown, so that the limit of {} dollars a day applies to reported costs only",
                dollars(limit)
            ),
            CostCeiling::Unknown { limit: None } => {
                "prices unknown, no limit on the cost of a day".to_owned()
            }
        };
        [tokens, address, cost]
    }
}

impl fmt::Display for DailyCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().join("; "))
    }
}

/// Returns the cost if every token has the higher of the two prices.
fn highest_cost(tokens: u64, prices: Prices) -> u64 {
    let cost = u128::from(tokens) * u128::from(prices.prompt.max(prices.completion));
    u64::try_from(cost.div_ceil(TOKENS_PER_PRICE)).unwrap_or(u64::MAX)
}

/// Formats billionths of a dollar as dollars and cents, rounded up.
fn dollars(nanodollars: u64) -> String {
    let cents = nanodollars.div_ceil(NANODOLLARS_PER_CENT);
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// Formats a number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::BudgetLimits;

    fn ceiling(tokens: Option<u64>, nanodollars: Option<u64>, prices: Option<Prices>) -> DailyCeiling {
        let policy = BudgetPolicy { day: BudgetLimits { tokens, nanodollars }, ..BudgetPolicy::default() };
        DailyCeiling::new(&policy, prices)
    }

    #[test]
    fn day_costs_at_most_the_lower_of_its_two_limits() {
        // 0.15 and 0.60 dollars: two million answer tokens cost 1.20 dollars.
        let prices = Some(Prices { prompt: 150_000_000, completion: 600_000_000 });
        let two_million = Some(2_000_000);
        for (tokens, limit, cost) in [
            (two_million, Some(5_000_000_000), CostCeiling::Limited(1_200_000_000)),
            (two_million, Some(1_000_000_000), CostCeiling::Limited(1_000_000_000)),
            (None, Some(5_000_000_000), CostCeiling::Limited(5_000_000_000)),
            (two_million, None, CostCeiling::ByTokens(1_200_000_000)),
            (None, None, CostCeiling::Unlimited),
        ] {
            let ceiling = ceiling(tokens, limit, prices);
            assert_eq!(ceiling.cost, cost);
        }
        assert_eq!(ceiling(two_million, None, None).cost, CostCeiling::Unknown { limit: None });
    }

    #[test]
    fn sentence_names_every_limit_and_every_missing_one() {
        let prices = Some(Prices { prompt: 150_000_000, completion: 600_000_000 });
        assert_eq!(
            ceiling(Some(2_000_000), Some(5_000_000_000), prices).to_string(),
            "at most 2,000,000 tokens a day; no limit per client address; at most 1.20 dollars a day"
        );
        assert_eq!(
            ceiling(None, None, prices).to_string(),
            "no limit on the tokens of a day; no limit per client address; no limit on the cost of a day"
        );
        for (tokens, text) in [(1, "1"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(tokens), text);
        }
        assert_eq!((dollars(1), dollars(1_234_567_890_001)), ("0.01".to_owned(), "1,234.57".to_owned()));
    }
}

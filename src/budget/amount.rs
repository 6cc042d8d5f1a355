//! Amounts of tokens and money, limits for them, prices, and days.

use crate::domain::clock::Timestamp;

const DAY_MS: i64 = 86_400_000;

const NANODOLLARS_PER_DOLLAR: f64 = 1e9;

/// The number of tokens that a price is for.
const TOKENS_PER_PRICE: u64 = 1_000_000;

/// A day (UTC), counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// Returns the day of a timestamp.
    #[must_use]
    pub fn from_timestamp(at: Timestamp) -> Self {
        Self(i32::try_from(at.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }

    /// Returns the first moment of the next day.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp((i64::from(self.0) + 1).saturating_mul(DAY_MS))
    }
}

/// Tokens of prompts and completions together, and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub tokens: u64,
    /// Billionths of a US dollar.
    pub nanodollars: u64,
}

impl Amount {
    /// Returns the sum.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            nanodollars: self.nanodollars.saturating_add(other.nanodollars),
        }
    }

    /// Returns the difference, or zero where `other` is larger.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            nanodollars: self.nanodollars.saturating_sub(other.nanodollars),
        }
    }
}

/// The limits of one account; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    pub tokens: Option<u64>,
    /// Billionths of a US dollar.
    pub nanodollars: Option<u64>,
}

impl BudgetLimits {
    /// Returns whether at least one limit is set.
    #[must_use]
    pub const fn has_limit(&self) -> bool {
        self.tokens.is_some() || self.nanodollars.is_some()
    }

    /// Returns the limits that are `factor` times as high.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let times = |limit: u64| limit.saturating_mul(u64::from(factor));
        Self { tokens: self.tokens.map(times), nanodollars: self.nanodollars.map(times) }
    }

    /// Returns whether `amount` is within all limits.
    #[must_use]
    pub fn allow(self, amount: Amount) -> bool {
        self.tokens.is_none_or(|limit| amount.tokens <= limit)
            && self.nanodollars.is_none_or(|limit| amount.nanodollars <= limit)
    }
}

/// The highest prices that the owner accepts, in billionths of a US dollar per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The price of prompt tokens (`LLM_PRICE_PROMPT`).
    pub prompt: u64,
    /// The price of completion tokens (`LLM_PRICE_COMPLETION`).
    pub completion: u64,
}

impl Prices {
    /// Returns the maximum cost of a request in billionths of a US dollar, rounded up.
    #[must_use]
    pub fn cost(self, prompt_tokens: u32, completion_tokens: u32) -> u64 {
        let product = |tokens: u32, price: u64| u64::from(tokens).saturating_mul(price);
        let prompt = product(prompt_tokens, self.prompt);
        let completion = product(completion_tokens, self.completion);
        prompt.saturating_add(completion).div_ceil(TOKENS_PER_PRICE)
    }

    /// Returns the tokens of a request together with their maximum cost.
    #[must_use]
    pub fn amount(self, prompt_tokens: u32, completion_tokens: u32) -> Amount {
        Amount {
            tokens: u64::from(prompt_tokens) + u64::from(completion_tokens),
            nanodollars: self.cost(prompt_tokens, completion_tokens),
        }
    }
}

/// Converts US dollars to billionths, rounded to the nearest; negative values and NaN become zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "the cast saturates at both ends"
)]
#[must_use]
pub fn nanodollars(dollars: f64) -> u64 {
    (dollars * NANODOLLARS_PER_DOLLAR).round() as u64
}

/// Converts billionths to US dollars.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "exact up to nine million dollars")]
#[must_use]
pub fn dollars(nanodollars: u64) -> f64 {
    nanodollars as f64 / NANODOLLARS_PER_DOLLAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight_utc() {
        let day = Day::from_timestamp(Timestamp(1_795_651_199_999));
        assert_eq!((day, day.end()), (Day(20_782), Timestamp(1_795_651_200_000)));
        assert_eq!(Day::from_timestamp(day.end()), Day(20_783));
        assert_eq!(Day::from_timestamp(Timestamp(-1)), Day(-1));
    }

    #[test]
    fn prices_are_per_million_tokens_and_costs_are_rounded_up() {
        // 0.15 and 0.60 dollars.
        let prices = Prices { prompt: 150_000_000, completion: 600_000_000 };
        assert_eq!(prices.cost(1_000, 500), 450_000);
        assert_eq!(Prices { prompt: 1, completion: 0 }.cost(1, 1), 1);
        assert_eq!(prices.amount(1_000, 500).tokens, 1_500);
    }

    #[test]
    fn dollars_convert_to_whole_billionths() {
        assert_eq!((nanodollars(0.000_123), nanodollars(-1.0), nanodollars(f64::NAN)), (123_000, 0, 0));
        assert!((dollars(nanodollars(12.345_678_9)) - 12.345_678_9).abs() < 1e-9);
    }
}

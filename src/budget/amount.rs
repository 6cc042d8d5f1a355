//! What is counted: tokens and money, by the day.

use crate::domain::clock::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Billionths in one.
const NANO: f64 = 1e9;

/// Tokens in what prices are given for.
const MILLION: u64 = 1_000_000;

/// A day of UTC, counted from 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a point in time.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(i32::try_from(at.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }

    /// When the next one begins.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp((i64::from(self.0) + 1).saturating_mul(DAY_MS))
    }
}

/// Tokens of prompts and answers together, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Tokens.
    pub tokens: u64,
    /// Billionths of a US dollar.
    pub nanodollars: u64,
}

impl Amount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            nanodollars: self.nanodollars.saturating_add(other.nanodollars),
        }
    }

    /// What is left of it; nothing when `other` is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            nanodollars: self.nanodollars.saturating_sub(other.nanodollars),
        }
    }
}

/// What an account may take; `None` is no ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Tokens.
    pub tokens: Option<u64>,
    /// Billionths of a US dollar.
    pub nanodollars: Option<u64>,
}

impl Ceilings {
    /// Whether there are any.
    #[must_use]
    pub const fn are_set(&self) -> bool {
        self.tokens.is_some() || self.nanodollars.is_some()
    }

    /// Whether so much is not above any of them.
    #[must_use]
    pub fn hold(self, amount: Amount) -> bool {
        self.tokens.is_none_or(|most| amount.tokens <= most)
            && self.nanodollars.is_none_or(|most| amount.nanodollars <= most)
    }
}

/// The most that the owner pays, in billionths of a US dollar for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Tokens of the prompt (`LLM_PRICE_PROMPT`).
    pub prompt: u64,
    /// Tokens of the answer (`LLM_PRICE_COMPLETION`).
    pub completion: u64,
}

impl Prices {
    /// What so many tokens cost at most, rounded up.
    #[must_use]
    pub fn cost(self, prompt_tokens: u32, completion_tokens: u32) -> u64 {
        let of = |tokens: u32, price: u64| u64::from(tokens).saturating_mul(price);
        let sum = of(prompt_tokens, self.prompt).saturating_add(of(completion_tokens, self.completion));
        sum.div_ceil(MILLION)
    }

    /// So many tokens with their cost.
    #[must_use]
    pub fn amount(self, prompt_tokens: u32, completion_tokens: u32) -> Amount {
        Amount {
            tokens: u64::from(prompt_tokens) + u64::from(completion_tokens),
            nanodollars: self.cost(prompt_tokens, completion_tokens),
        }
    }
}

/// US dollars in billionths, to the nearest; nothing for less than nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "the cast saturates at both ends"
)]
#[must_use]
pub fn nanodollars(dollars: f64) -> u64 {
    (dollars * NANO).round() as u64
}

/// Billionths in US dollars.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "exact up to nine million dollars")]
#[must_use]
pub fn dollars(nanodollars: u64) -> f64 {
    nanodollars as f64 / NANO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_of_utc() {
        let day = Day::of(Timestamp(1_795_651_199_999));
        assert_eq!((day, day.end()), (Day(20_782), Timestamp(1_795_651_200_000)));
        assert_eq!(Day::of(day.end()), Day(20_783));
        assert_eq!(Day::of(Timestamp(-1)), Day(-1));
    }

    #[test]
    fn a_price_is_for_a_million_tokens_and_a_part_of_a_billionth_is_a_whole_one() {
        // 0.15 and 0.60 dollars.
        let prices = Prices { prompt: 150_000_000, completion: 600_000_000 };
        assert_eq!(prices.cost(1_000, 500), 450_000);
        assert_eq!(Prices { prompt: 1, completion: 0 }.cost(1, 1), 1);
        assert_eq!(prices.amount(1_000, 500).tokens, 1_500);
    }

    #[test]
    fn money_is_whole_billionths() {
        assert_eq!((nanodollars(0.000_123), nanodollars(-1.0), nanodollars(f64::NAN)), (123_000, 0, 0));
        assert!((dollars(nanodollars(12.345_678_9)) - 12.345_678_9).abs() < 1e-9);
    }
}

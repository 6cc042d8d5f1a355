//! Settings of the budget: how many tokens and dollars answers may take.

use crate::budget::{BudgetLimits, BudgetPolicy, Prices};
use crate::limits::NETWORK_ALLOWANCE;
use crate::settings::declaration::settings_group;
use crate::settings::groups::tokens::{MAX_CONTEXT_TOKENS, MAX_RESPONSE_TOKENS, TokenSettings};
use crate::settings::kind::{Kind, integer, us_dollars};
use crate::settings::reader::SettingsReader;
use crate::settings::values::dollars;

/// The number of largest exchanges that the default limit of a day has room for, however large
/// `MAX_CONTEXT_TOKENS` is.
const MIN_EXCHANGES_PER_DAY: u64 = 10;

/// The same for a client address: a few questions at the same time.
const MIN_EXCHANGES_PER_ADDRESS: u64 = 4;

settings_group! {
    /// The limits on tokens and costs. Amounts of money are in billionths of a US dollar. `None`
    /// means no limit, or an unknown price.
    pub struct BudgetSettings {
        /// Maximum number of tokens of all prompts and answers in a day (UTC). Each question
        /// reserves the tokens it may need until its answer has ended. The default suffices for
        /// about a thousand questions. It rises to ten times `MAX_CONTEXT_TOKENS` if that is more.
        pub daily_tokens: Option<u64> = Setting {
            name: DAILY_TOKEN_LIMIT,
            default: "2000000",
            kind: token_limit(),
        },

        /// Maximum cost of all answers in a day (UTC). Requires `LLM_PRICE_PROMPT` and
        /// `LLM_PRICE_COMPLETION`. The default applies where these prices are set or the model
        /// server names its prices, and to costs that it reports. It rises to the cost of one
        /// exchange if that is more.
        pub daily_nanodollars: Option<u64> = Setting {
            name: DAILY_COST_LIMIT,
            default: "5",
            kind: cost_limit(),
        },

        /// Maximum number of tokens per client address in a day (UTC). IPv6 addresses are counted
        /// per /64 network, and a /48 network may use four times as much. The default suffices for
        /// about a hundred questions. It rises to four times `MAX_CONTEXT_TOKENS` if that is more.
        pub address_tokens: Option<u64> = Setting {
            name: DAILY_TOKEN_LIMIT_PER_ADDRESS,
            default: "200000",
            kind: token_limit(),
        },

        /// Maximum cost of the answers to one client address in a day (UTC), counted as for
        /// `DAILY_TOKEN_LIMIT_PER_ADDRESS`. Requires `LLM_PRICE_PROMPT` and `LLM_PRICE_COMPLETION`.
        pub address_nanodollars: Option<u64> = Setting {
            name: DAILY_COST_LIMIT_PER_ADDRESS,
            default: "off",
            kind: cost_limit(),
        },

        /// Maximum number of tokens of one conversation over its whole life.
        pub session_tokens: Option<u64> = Setting {
            name: SESSION_TOKEN_LIMIT,
            default: "off",
            kind: token_limit(),
        },

        /// Maximum cost of one conversation over its whole life. Requires `LLM_PRICE_PROMPT` and
        /// `LLM_PRICE_COMPLETION`.
        pub session_nanodollars: Option<u64> = Setting {
            name: SESSION_COST_LIMIT,
            default: "off",
            kind: cost_limit(),
        },

        /// Maximum price of a million prompt tokens. It determines what a question reserves of a
        /// cost limit, and replaces costs that the model server does not report. OpenRouter is
        /// limited to providers that do not charge more.
        pub prompt_price: Option<u64> = Setting {
            name: LLM_PRICE_PROMPT,
            default: "",
            kind: price(),
        },

        /// Maximum price of a million answer tokens; see `LLM_PRICE_PROMPT`.
        pub completion_price: Option<u64> = Setting {
            name: LLM_PRICE_COMPLETION,
            default: "",
            kind: price(),
        },
    }
}

fn token_limit() -> Kind<Option<u64>> {
    integer(1..=1_000_000_000_000).with_note(", at least MAX_CONTEXT_TOKENS").or_off()
}

fn cost_limit() -> Kind<Option<u64>> {
    us_dollars("off means no limit").or_off()
}

fn price() -> Kind<Option<u64>> {
    us_dollars("leave it empty if tokens cost nothing").optional()
}

impl BudgetSettings {
    /// Returns the limits of every scope.
    #[must_use]
    pub fn policy(&self) -> BudgetPolicy {
        let address = BudgetLimits { tokens: self.address_tokens, nanodollars: self.address_nanodollars };
        BudgetPolicy {
            day: BudgetLimits { tokens: self.daily_tokens, nanodollars: self.daily_nanodollars },
            address,
            network: address.times(NETWORK_ALLOWANCE),
            session: BudgetLimits { tokens: self.session_tokens, nanodollars: self.session_nanodollars },
        }
    }

    /// Returns the prices, if both are set.
    #[must_use]
    pub fn prices(&self) -> Option<Prices> {
        let (prompt, completion) = self.prompt_price.zip(self.completion_price)?;
        Some(Prices { prompt, completion })
    }

    /// Raises the default limits to what a few exchanges may use, so that larger exchanges need no
    /// other limits. Limits that the owner has set are not changed.
    pub(in crate::settings) fn raise_defaults(&mut self, tokens: &TokenSettings, reader: &SettingsReader) {
        let largest_exchange = u64::from(tokens.max_context);
        let largest_cost = self.prices().map_or(0, |prices| cost_of_exchange(prices, tokens));
        for (name, limit, minimum) in [
            (DAILY_TOKEN_LIMIT, &mut self.daily_tokens, MIN_EXCHANGES_PER_DAY * largest_exchange),
            (
                DAILY_TOKEN_LIMIT_PER_ADDRESS,
                &mut self.address_tokens,
                MIN_EXCHANGES_PER_ADDRESS * largest_exchange,
            ),
            (DAILY_COST_LIMIT, &mut self.daily_nanodollars, largest_cost),
        ] {
            if !reader.is_changed(name) {
                *limit = limit.map(|limit| limit.max(minimum));
            }
        }
    }

    /// Checks that every limit that the owner has set has room for one exchange. A smaller limit
    /// would reject all questions.
    pub(in crate::settings) fn check(&self, tokens: &TokenSettings, reader: &mut SettingsReader) {
        let prices = [(LLM_PRICE_PROMPT, self.prompt_price), (LLM_PRICE_COMPLETION, self.completion_price)];
        if let [(set, Some(_)), (unset, None)] | [(unset, None), (set, Some(_))] = prices {
            reader.warn(set, &format!("is ignored, because {unset} is not set"));
        }
        for (name, limit) in [
            (DAILY_TOKEN_LIMIT, self.daily_tokens),
            (DAILY_TOKEN_LIMIT_PER_ADDRESS, self.address_tokens),
            (SESSION_TOKEN_LIMIT, self.session_tokens),
        ] {
            if limit.is_some_and(|limit| limit < u64::from(tokens.max_context)) {
                reader.conflict(name, MAX_CONTEXT_TOKENS, |other| {
                    format!("conflicts with {other}: the limit must have room for one exchange")
                });
            }
        }
        for (name, limit) in [
            (DAILY_COST_LIMIT, self.daily_nanodollars),
            (DAILY_COST_LIMIT_PER_ADDRESS, self.address_nanodollars),
            (SESSION_COST_LIMIT, self.session_nanodollars),
        ] {
            if let Some(limit) = limit.filter(|_| reader.is_changed(name) && reader.is_valid(name)) {
                self.check_cost_limit(name, limit, tokens, reader);
            }
        }
    }

    fn check_cost_limit(
        &self,
        name: &'static str,
        limit: u64,
        tokens: &TokenSettings,
        reader: &mut SettingsReader,
    ) {
        let prices = [(LLM_PRICE_PROMPT, self.prompt_price), (LLM_PRICE_COMPLETION, self.completion_price)];
        for (price_name, _) in prices.iter().filter(|(_, price)| price.is_none()) {
            let problem = format!("is required by {name}, to reserve the cost of a question");
            reader.missing(price_name, &problem);
        }
        let inputs = [LLM_PRICE_PROMPT, LLM_PRICE_COMPLETION, MAX_CONTEXT_TOKENS, MAX_RESPONSE_TOKENS];
        if !inputs.iter().all(|input| reader.is_valid(input)) {
            return;
        }
        let [prompt, completion] = prices.map(|(_, price)| price.unwrap_or(0));
        let cost = cost_of_exchange(Prices { prompt, completion }, tokens);
        if cost > limit {
            let cost = dollars::format(cost);
            reader.conflict(name, LLM_PRICE_COMPLETION, |_| {
                format!(
                    "is less than one exchange may cost: {cost} dollars by the prices and MAX_CONTEXT_TOKENS"
                )
            });
        }
    }
}

/// Returns the cost of the largest exchange.
fn cost_of_exchange(prices: Prices, tokens: &TokenSettings) -> u64 {
    prices.cost(tokens.max_prompt(), tokens.max_response)
}

//! Settings of the budget: how many tokens and dollars answers may take.

use crate::budget::Prices;
use crate::settings::declaration::settings_group;
use crate::settings::groups::tokens::{MAX_CONTEXT_TOKENS, MAX_RESPONSE_TOKENS, TokenSettings};
use crate::settings::kind::{Kind, integer, us_dollars};
use crate::settings::reader::SettingsReader;
use crate::settings::values::dollars;

settings_group! {
    /// The limits on tokens and costs. Amounts of money are in billionths of a US dollar. `None`
    /// means no limit, or an unknown price.
    pub struct BudgetSettings {
        /// Maximum number of tokens of all prompts and answers in a day (UTC). Each question
        /// reserves the tokens it may need until its answer has ended.
        pub daily_tokens: Option<u64> = Setting {
            name: DAILY_TOKEN_LIMIT,
            default: "",
            kind: token_limit(),
        },

        /// Maximum cost of all answers in a day (UTC). Requires `LLM_PRICE_PROMPT` and
        /// `LLM_PRICE_COMPLETION`. Empty for no limit.
        pub daily_nanodollars: Option<u64> = Setting {
            name: DAILY_COST_LIMIT,
            default: "",
            kind: us_dollars().optional(),
        },

        /// Maximum number of tokens per client address in a day (UTC). IPv6 addresses are counted
        /// per /64 network.
        pub address_tokens: Option<u64> = Setting {
            name: DAILY_TOKEN_LIMIT_PER_ADDRESS,
            default: "",
            kind: token_limit(),
        },

        /// Maximum cost of the answers to one client address in a day (UTC). Requires
        /// `LLM_PRICE_PROMPT` and `LLM_PRICE_COMPLETION`. Empty for no limit.
        pub address_nanodollars: Option<u64> = Setting {
            name: DAILY_COST_LIMIT_PER_ADDRESS,
            default: "",
            kind: us_dollars().optional(),
        },

        /// Maximum number of tokens of one conversation over its whole life.
        pub session_tokens: Option<u64> = Setting {
            name: SESSION_TOKEN_LIMIT,
            default: "",
            kind: token_limit(),
        },

        /// Maximum cost of one conversation over its whole life. Requires `LLM_PRICE_PROMPT` and
        /// `LLM_PRICE_COMPLETION`. Empty for no limit.
        pub session_nanodollars: Option<u64> = Setting {
            name: SESSION_COST_LIMIT,
            default: "",
            kind: us_dollars().optional(),
        },

        /// Maximum price of a million prompt tokens. It determines what a question reserves of a
        /// cost limit, and replaces costs that the model server does not report. OpenRouter is
        /// limited to providers that do not charge more.
        pub prompt_price: Option<u64> = Setting {
            name: LLM_PRICE_PROMPT,
            default: "",
            kind: us_dollars().optional(),
        },

        /// Maximum price of a million answer tokens; see `LLM_PRICE_PROMPT`.
        pub completion_price: Option<u64> = Setting {
            name: LLM_PRICE_COMPLETION,
            default: "",
            kind: us_dollars().optional(),
        },
    }
}

fn token_limit() -> Kind<Option<u64>> {
    integer(1..=1_000_000_000_000).with_note(", at least MAX_CONTEXT_TOKENS; empty for none").optional()
}

impl BudgetSettings {
    /// Checks that every limit has room for one exchange. A smaller limit would reject all
    /// questions.
    pub(in crate::settings) fn check(&self, tokens: &TokenSettings, reader: &mut SettingsReader) {
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
            if let Some(limit) = limit {
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
        let prompt_tokens = tokens.max_context.saturating_sub(tokens.max_response);
        let cost = Prices { prompt, completion }.cost(prompt_tokens, tokens.max_response);
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

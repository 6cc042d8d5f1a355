//! Settings of the prompt's size in tokens.

use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::settings::declaration::settings_group;
use crate::settings::kind::{integer, keyword};
use crate::settings::reader::SettingsReader;

/// The minimum number of tokens for the resume and the question, in addition to the longest answer.
const MIN_PROMPT_TOKENS: u32 = 256;

settings_group! {
    /// The number of tokens in one exchange.
    pub struct TokenSettings {
        /// Maximum number of tokens of prompt and answer together. It must not exceed the context
        /// window of the model.
        pub max_context: u32 = Setting {
            name: MAX_CONTEXT_TOKENS,
            default: "8000",
            kind: integer(512..=2_000_000),
        },

        /// Maximum number of tokens of one answer. The rest of `MAX_CONTEXT_TOKENS` is for the
        /// resume and the question.
        pub max_response: u32 = Setting {
            name: MAX_RESPONSE_TOKENS,
            default: "2000",
            kind: integer(16..=2_000_000).with_note(", at least 256 below MAX_CONTEXT_TOKENS"),
        },

        /// Vocabulary for counting tokens.
        pub tokenizer: Tokenizer = Setting {
            name: TOKENIZER,
            default: "cl100k_base",
            kind: keyword(),
        },
    }
}

/// The vocabulary for counting tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(ascii_case_insensitive)]
pub enum Tokenizer {
    /// Of the GPT-4 family.
    #[strum(to_string = "cl100k_base")]
    Cl100kBase,
    /// Of the GPT-4o family and later.
    #[strum(to_string = "o200k_base")]
    O200kBase,
}

impl TokenSettings {
    /// Returns the maximum number of tokens of a prompt.
    #[must_use]
    pub fn max_prompt(&self) -> u32 {
        self.max_context.saturating_sub(self.max_response)
    }

    pub(in crate::settings) fn check(&self, reader: &mut SettingsReader) {
        let (context, response) = (self.max_context, self.max_response);
        if response.saturating_add(MIN_PROMPT_TOKENS) > context {
            reader.conflict(MAX_RESPONSE_TOKENS, MAX_CONTEXT_TOKENS, |other| {
                format!(
                    "conflicts with {other}: an answer of {response} tokens in a context of {context} \
                     leaves fewer than {MIN_PROMPT_TOKENS} for the resume and the question"
                )
            });
        }
    }
}

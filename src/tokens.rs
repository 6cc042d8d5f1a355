//! Counts tokens with tiktoken, in linear time also for hostile input.

use tiktoken_rs::CoreBPE;

use crate::settings::Tokenizer;

/// Texts are counted in pieces of at most this many bytes.
///
/// The merge step takes more than linear time for long text without a break, which visitors can
/// send. Each cut can increase the count by one token.
const PIECE_BYTES: usize = 2 * 1024;

/// The tokens of a chat message in addition to its text, for its role and delimiters.
pub const MESSAGE_OVERHEAD: u32 = 4;

/// The tokens at the end of a prompt that start the answer.
pub const PROMPT_OVERHEAD: u32 = 3;

/// Counts tokens with one vocabulary.
#[derive(Clone, Copy)]
pub struct TokenCounter {
    vocabulary: fn() -> &'static CoreBPE,
}

impl TokenCounter {
    /// Creates a counter. The vocabulary is loaded at its first use; see [`Self::warm_up`].
    #[must_use]
    pub fn new(tokenizer: Tokenizer) -> Self {
        let vocabulary = match tokenizer {
            Tokenizer::Cl100kBase => tiktoken_rs::cl100k_base_singleton,
            Tokenizer::O200kBase => tiktoken_rs::o200k_base_singleton,
        };
        Self { vocabulary }
    }

    /// Loads the vocabulary, so that the first question does not wait for it. Takes tens of
    /// milliseconds.
    pub fn warm_up(self) {
        (self.vocabulary)();
    }

    /// Counts the tokens of `text`. Special tokens in it count as ordinary text.
    #[must_use]
    pub fn count(self, text: &str) -> u32 {
        let vocabulary = (self.vocabulary)();
        let tokens = pieces(text, PIECE_BYTES).map(|piece| vocabulary.count_ordinary(piece)).sum::<usize>();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenCounter")
    }
}

/// Splits a text into pieces of at most `max_bytes`, which must be at least 4, at character
/// boundaries.
pub fn pieces(mut text: &str, max_bytes: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.floor_char_boundary(max_bytes);
        let (piece, rest) = text.split_at_checked(end)?;
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn counts_match_the_vocabulary() {
        let counter = TokenCounter::new(Tokenizer::Cl100kBase);
        assert_eq!(counter.count(""), 0);
        assert_eq!(counter.count("hello world"), 2);
        assert_eq!(counter.count("<|endoftext|>"), 7, "special tokens count as ordinary text");
    }

    #[test]
    fn long_runs_of_one_character_are_counted_in_linear_time() {
        let counter = TokenCounter::new(Tokenizer::Cl100kBase);
        counter.warm_up();
        let time = |text: &str| {
            let start = Instant::now();
            let _ = counter.count(text);
            start.elapsed()
        };
        let prose = "The quick brown fox jumps over the lazy dog. ".repeat(64 * 1024 / 45);
        let baseline = time(&prose).max(time(&prose));
        for run in ["a", " ", "^", "é"] {
            let duration = time(&run.repeat(64 * 1024));
            assert!(duration < baseline * 40, "{run:?}: {duration:?}, but prose {baseline:?}");
        }
    }
}

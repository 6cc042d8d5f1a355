//! Counting tokens with tiktoken, bounded on hostile input.

use tiktoken_rs::CoreBPE;

use crate::settings::Tokenizer;

/// Texts are counted in pieces of at most this many bytes: the merge step is slower than linear in the length of a run
/// without a break, and visitors choose the runs. The count of a longer text is too high by at most one token a piece.
const PIECE_BYTES: usize = 2 * 1024;

/// Tokens a chat message costs beyond its text: its role and its delimiters.
pub const MESSAGE_OVERHEAD: u32 = 4;

/// Tokens with which a prompt asks for the answer.
pub const PROMPT_OVERHEAD: u32 = 3;

/// Counts tokens of one vocabulary. Cheap to copy.
#[derive(Clone, Copy)]
pub struct TokenCounter {
    vocabulary: fn() -> &'static CoreBPE,
}

impl TokenCounter {
    /// A counter for this vocabulary, which is read at its first use (see [`Self::warm_up`]).
    #[must_use]
    pub fn new(tokenizer: Tokenizer) -> Self {
        let vocabulary = match tokenizer {
            Tokenizer::Cl100kBase => tiktoken_rs::cl100k_base_singleton,
            Tokenizer::O200kBase => tiktoken_rs::o200k_base_singleton,
        };
        Self { vocabulary }
    }

    /// Reads the vocabulary now, so that the first question need not wait for it. Takes tens of milliseconds.
    pub fn warm_up(self) {
        (self.vocabulary)();
    }

    /// How many tokens `text` has.
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

/// Cuts a text into pieces of at most so many bytes, at least 4, without cutting a character.
pub fn pieces(mut text: &str, most_bytes: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.floor_char_boundary(most_bytes);
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
    fn tokens_are_those_of_the_vocabulary() {
        let counter = TokenCounter::new(Tokenizer::Cl100kBase);
        assert_eq!(counter.count(""), 0);
        assert_eq!(counter.count("hello world"), 2);
        assert_eq!(counter.count("<|endoftext|>"), 7, "special tokens in a text are text");
    }

    #[test]
    fn long_runs_of_one_character_take_no_longer_than_prose() {
        let counter = TokenCounter::new(Tokenizer::Cl100kBase);
        counter.warm_up();
        let time = |text: &str| {
            let start = Instant::now();
            let _ = counter.count(text);
            start.elapsed()
        };
        let prose = "The quick brown fox jumps over the lazy dog. ".repeat(64 * 1024 / 45);
        let ordinary = time(&prose).max(time(&prose));
        for run in ["a", " ", "^", "é"] {
            let taken = time(&run.repeat(64 * 1024));
            assert!(taken < ordinary * 40, "{run:?}: {taken:?} beside {ordinary:?}");
        }
    }
}

//! The history that a prompt contains: whole exchanges. The oldest are dropped first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::TurnId;
use crate::domain::limits::MAX_EXCHANGES;
use crate::tokens::MESSAGE_OVERHEAD;

/// Exchanges that are kept in memory even if they are larger than the window. A prompt contains
/// them only if they fit.
const ALWAYS_KEPT: usize = 2;

/// A question with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub turn_id: TurnId,
    /// The question as the prompt contains it.
    pub question: Arc<str>,
    pub question_tokens: u32,
    pub answer: Arc<str>,
    pub answer_tokens: u32,
}

impl Exchange {
    /// Returns the tokens of the exchange in a prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.question_tokens.saturating_add(self.answer_tokens).saturating_add(2 * MESSAGE_OVERHEAD)
    }
}

/// The exchanges that can still be part of a prompt, oldest first. The transcript that the visitor
/// sees is read from the store instead.
#[derive(Debug)]
pub struct History {
    window: u32,
    exchanges: VecDeque<Exchange>,
    tokens: u32,
    /// Whether exchanges have been dropped.
    is_truncated: bool,
}

impl History {
    /// Returns an empty history. At most `window` tokens of it can be part of a prompt.
    #[must_use]
    pub fn new(window: u32) -> Self {
        Self { window, exchanges: VecDeque::new(), tokens: 0, is_truncated: false }
    }

    /// Adds the newest exchange and drops those that no later prompt can contain. An exchange
    /// without an answer is not added, because the model would answer its question again.
    pub fn push(&mut self, exchange: Exchange) {
        if exchange.answer.is_empty() {
            return;
        }
        self.tokens = self.tokens.saturating_add(exchange.prompt_tokens());
        self.exchanges.push_back(exchange);
        while self.exchanges.len() > MAX_EXCHANGES
            || (self.tokens > self.window && self.exchanges.len() > ALWAYS_KEPT)
        {
            let Some(oldest) = self.exchanges.pop_front() else { break };
            self.tokens = self.tokens.saturating_sub(oldest.prompt_tokens());
            self.is_truncated = true;
        }
    }

    /// Removes the exchange of a turn if it is the newest.
    pub fn remove_newest(&mut self, turn_id: TurnId) {
        if let Some(newest) = self.exchanges.back().filter(|newest| newest.turn_id == turn_id) {
            self.tokens = self.tokens.saturating_sub(newest.prompt_tokens());
            self.exchanges.pop_back();
        }
    }

    /// Selects the newest exchanges that fit into `room` tokens together. If `without` is the
    /// newest turn, it is left out. The selection is contiguous: no exchange between two others is
    /// missing.
    #[must_use]
    pub fn select(&self, room: u32, without: Option<TurnId>) -> HistorySelection<'_> {
        let newest = self.exchanges.back().map(|newest| newest.turn_id);
        let end = self.exchanges.len() - usize::from(without.is_some() && without == newest);
        let mut tokens = 0_u32;
        let mut count = 0;
        for exchange in self.exchanges.range(..end).rev() {
            let total = tokens.saturating_add(exchange.prompt_tokens());
            if total > room {
                break;
            }
            tokens = total;
            count += 1;
        }
        let start = end - count;
        HistorySelection { history: self, start, end, tokens, is_pruned: self.is_truncated || start > 0 }
    }
}

/// The part of a history that one prompt contains.
#[derive(Clone, Copy, Debug)]
pub struct HistorySelection<'a> {
    history: &'a History,
    start: usize,
    end: usize,
    /// The tokens of the selected exchanges in the prompt.
    pub tokens: u32,
    /// Whether older exchanges are left out.
    pub is_pruned: bool,
}

impl<'a> HistorySelection<'a> {
    /// Returns the selected exchanges, oldest first.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &'a Exchange> + use<'a> {
        self.history.exchanges.range(self.start..self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exchange(question_tokens: u32, answer_tokens: u32) -> Exchange {
        Exchange {
            turn_id: TurnId::generate(),
            question: "q".into(),
            question_tokens,
            answer: "a".into(),
            answer_tokens,
        }
    }

    #[test]
    fn two_exchanges_are_kept_even_if_they_are_larger_than_the_window() {
        let mut history = History::new(100);
        for _ in 0..3 {
            history.push(exchange(60, 60));
        }
        assert_eq!(history.exchanges.len(), 2);
        assert_eq!(history.select(100, None).exchanges().len(), 0, "but only what fits is part of a prompt");
        assert!(history.select(100, None).is_pruned);
    }

    #[test]
    fn unanswered_question_is_not_part_of_the_prompt() {
        let mut history = History::new(100);
        history.push(Exchange { answer: "".into(), ..exchange(5, 0) });
        assert_eq!(history.select(100, None).exchanges().len(), 0);
        assert!(!history.select(100, None).is_pruned);
    }

    #[test]
    fn regenerated_answer_is_not_part_of_the_prompt() {
        let mut history = History::new(100);
        for _ in 0..2 {
            history.push(exchange(5, 5));
        }
        let turns: Vec<TurnId> =
            history.select(100, None).exchanges().map(|exchange| exchange.turn_id).collect();
        let kept = |selection: HistorySelection<'_>| {
            selection.exchanges().map(|exchange| exchange.turn_id).collect::<Vec<_>>()
        };
        assert_eq!(kept(history.select(100, Some(turns[1]))), turns[..1]);
        assert_eq!(kept(history.select(100, Some(turns[0]))), turns, "only the newest can be regenerated");
        assert!(!history.select(100, Some(turns[1])).is_pruned);
        let before = history.tokens;
        history.remove_newest(turns[0]);
        assert_eq!(kept(history.select(100, None)), turns);
        history.remove_newest(turns[1]);
        assert_eq!(kept(history.select(100, None)), turns[..1]);
        assert_eq!(history.tokens * 2, before);
    }

    proptest! {
        #[test]
        fn selection_is_the_longest_suffix_that_fits(
            sizes in prop::collection::vec((1_u32..200, 1_u32..400), 0..250),
            window in 100_u32..6_000,
            room in 0_u32..6_000,
        ) {
            let room = room.min(window);
            let mut history = History::new(window);
            let all: Vec<Exchange> = sizes.iter().map(|(question, answer)| exchange(*question, *answer)).collect();
            for exchange in &all {
                history.push(exchange.clone());
            }
            let selection = history.select(room, None);
            let kept: Vec<TurnId> = selection.exchanges().map(|exchange| exchange.turn_id).collect();
            let mut expected = Vec::new();
            let mut sum = 0;
            for exchange in all.iter().rev().take(MAX_EXCHANGES) {
                sum += exchange.prompt_tokens();
                if sum > room { break; }
                expected.insert(0, exchange.turn_id);
            }
            prop_assert_eq!(&kept, &expected);
            prop_assert!(selection.tokens <= room);
            prop_assert_eq!(selection.is_pruned, kept.len() < all.len());
            prop_assert!(history.exchanges.len() <= MAX_EXCHANGES);
        }
    }
}

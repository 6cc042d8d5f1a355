//! The conversation as the model is shown it: whole exchanges, the oldest leaving first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::TurnId;
use crate::domain::limits::MAX_EXCHANGES;
use crate::tokens::MESSAGE_OVERHEAD;

/// Exchanges that are kept in memory even when they are larger than the window: they stay unless even they do not fit.
const ALWAYS_KEPT: usize = 2;

/// A question with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The turn it was.
    pub turn_id: TurnId,
    /// What the visitor asked.
    pub question: Arc<str>,
    /// Its length in tokens.
    pub question_tokens: u32,
    /// What was answered.
    pub answer: Arc<str>,
    /// Its length in tokens.
    pub answer_tokens: u32,
}

impl Exchange {
    /// What it costs in a prompt, in tokens.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.question_tokens.saturating_add(self.answer_tokens).saturating_add(2 * MESSAGE_OVERHEAD)
    }
}

/// The exchanges that can still be part of a prompt, oldest first. The visitor's transcript is the store's, not this.
#[derive(Debug)]
pub struct History {
    window: u32,
    exchanges: VecDeque<Exchange>,
    tokens: u32,
    forgotten: bool,
}

impl History {
    /// An empty history of which at most `window` tokens can ever be part of a prompt.
    #[must_use]
    pub fn new(window: u32) -> Self {
        Self { window, exchanges: VecDeque::new(), tokens: 0, forgotten: false }
    }

    /// Adds the newest exchange and forgets those that no later prompt can hold. One without an answer is not added:
    /// shown to the model it would be answered again.
    pub fn push(&mut self, exchange: Exchange) {
        if exchange.answer.is_empty() {
            return;
        }
        self.tokens = self.tokens.saturating_add(exchange.cost());
        self.exchanges.push_back(exchange);
        while self.exchanges.len() > MAX_EXCHANGES
            || (self.tokens > self.window && self.exchanges.len() > ALWAYS_KEPT)
        {
            let Some(oldest) = self.exchanges.pop_front() else { break };
            self.tokens = self.tokens.saturating_sub(oldest.cost());
            self.forgotten = true;
        }
    }

    /// Takes the exchange of this turn out again, if it is the newest.
    pub fn take_back(&mut self, turn_id: TurnId) {
        if let Some(newest) = self.exchanges.back().filter(|newest| newest.turn_id == turn_id) {
            self.tokens = self.tokens.saturating_sub(newest.cost());
            self.exchanges.pop_back();
        }
    }

    /// The newest exchanges that fit into `room` tokens together, oldest first, as if that of the turn `without` had been taken
    /// back. They are a suffix of the conversation: nothing is left out between two that stay.
    #[must_use]
    pub fn fitting(&self, room: u32, without: Option<TurnId>) -> Fitting<'_> {
        let newest = self.exchanges.back().map(|newest| newest.turn_id);
        let end = self.exchanges.len() - usize::from(without.is_some() && without == newest);
        let mut tokens = 0_u32;
        let mut kept = 0;
        for exchange in self.exchanges.range(..end).rev() {
            let with = tokens.saturating_add(exchange.cost());
            if with > room {
                break;
            }
            tokens = with;
            kept += 1;
        }
        let first = end - kept;
        Fitting { history: self, first, end, tokens, pruned: self.forgotten || first > 0 }
    }
}

/// The part of a history that goes into one prompt.
#[derive(Clone, Copy, Debug)]
pub struct Fitting<'a> {
    history: &'a History,
    first: usize,
    end: usize,
    /// What the kept exchanges cost in the prompt.
    pub tokens: u32,
    /// Whether older exchanges had to be left out.
    pub pruned: bool,
}

impl<'a> Fitting<'a> {
    /// The kept exchanges, oldest first.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &'a Exchange> + use<'a> {
        self.history.exchanges.range(self.first..self.end)
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
    fn two_exchanges_stay_in_memory_even_when_they_are_larger_than_the_window() {
        let mut history = History::new(100);
        for _ in 0..3 {
            history.push(exchange(60, 60));
        }
        assert_eq!(history.exchanges.len(), 2);
        assert_eq!(history.fitting(100, None).exchanges().len(), 0, "but what does not fit is not sent");
        assert!(history.fitting(100, None).pruned);
    }

    #[test]
    fn an_unanswered_question_is_not_shown_to_the_model() {
        let mut history = History::new(100);
        history.push(Exchange { answer: "".into(), ..exchange(5, 0) });
        assert_eq!(history.fitting(100, None).exchanges().len(), 0);
        assert!(!history.fitting(100, None).pruned);
    }

    #[test]
    fn an_answer_that_is_given_anew_is_out_of_the_prompt_before_and_after() {
        let mut history = History::new(100);
        for _ in 0..2 {
            history.push(exchange(5, 5));
        }
        let turns: Vec<TurnId> = history.fitting(100, None).exchanges().map(|one| one.turn_id).collect();
        let kept = |fitting: Fitting<'_>| fitting.exchanges().map(|one| one.turn_id).collect::<Vec<_>>();
        assert_eq!(kept(history.fitting(100, Some(turns[1]))), turns[..1]);
        assert_eq!(kept(history.fitting(100, Some(turns[0]))), turns, "only the newest is given anew");
        assert!(!history.fitting(100, Some(turns[1])).pruned);
        let before = history.tokens;
        history.take_back(turns[0]);
        assert_eq!(kept(history.fitting(100, None)), turns);
        history.take_back(turns[1]);
        assert_eq!(kept(history.fitting(100, None)), turns[..1]);
        assert_eq!(history.tokens * 2, before);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_longest_suffix_that_fits(
            sizes in prop::collection::vec((1_u32..200, 1_u32..400), 0..250),
            window in 100_u32..6_000,
            room in 0_u32..6_000,
        ) {
            let room = room.min(window);
            let mut history = History::new(window);
            let all: Vec<Exchange> = sizes.iter().map(|(q, a)| exchange(*q, *a)).collect();
            for one in &all {
                history.push(one.clone());
            }
            let fitting = history.fitting(room, None);
            let kept: Vec<TurnId> = fitting.exchanges().map(|one| one.turn_id).collect();
            let mut expected = Vec::new();
            let mut sum = 0;
            for one in all.iter().rev().take(MAX_EXCHANGES) {
                sum += one.cost();
                if sum > room { break; }
                expected.insert(0, one.turn_id);
            }
            prop_assert_eq!(&kept, &expected);
            prop_assert!(fitting.tokens <= room);
            prop_assert_eq!(fitting.pruned, kept.len() < all.len());
            prop_assert!(history.exchanges.len() <= MAX_EXCHANGES);
        }
    }
}

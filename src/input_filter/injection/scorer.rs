//! Matches the rules against a text and scores it.

use aho_corasick::AhoCorasick;

use super::assessment::Assessment;
use super::concepts::Concept;
use super::normalize::Normalizer;
use super::rules::{MAX_CONCEPTS, RULES, Signal};
use super::structural::StructuralScanner;
use super::vocabulary::VOCABULARY;

/// The number of words after a third person that describe what the person does.
const SUBJECT_REACH: usize = 2;

/// Scores texts. Building one takes a few milliseconds, so it should be reused.
pub struct Scorer {
    normalizer: Normalizer,
    phrase_finder: Option<AhoCorasick>,
    /// By pattern index of `phrase_finder`.
    phrases: Vec<Phrase>,
    structural_scanner: StructuralScanner,
}

#[derive(Clone, Copy)]
struct Phrase {
    concept: Concept,
    word_count: usize,
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorer {
    /// Builds the automata that find the phrases of the vocabulary.
    #[must_use]
    pub fn new() -> Self {
        let plain_normalizer = Normalizer::new(std::iter::empty());
        let mut patterns = Vec::new();
        let mut phrases = Vec::new();
        for entry in VOCABULARY.iter().copied().flatten() {
            for phrase in entry.phrases.split(',') {
                let pattern = phrase_pattern(&plain_normalizer, phrase.trim());
                let word_count = pattern.split_whitespace().count();
                phrases.push(Phrase { concept: entry.concept, word_count });
                patterns.push(pattern);
            }
        }
        Self {
            normalizer: Normalizer::new(patterns.iter().map(String::as_str)),
            phrase_finder: AhoCorasick::new(&patterns).ok(),
            phrases,
            structural_scanner: StructuralScanner::new(),
        }
    }

    /// Scores a text in linear time.
    #[must_use]
    pub fn assess(&self, text: &str) -> Assessment {
        let normalized = self.normalizer.normalize(text);
        let structure = self.structural_scanner.scan(text);
        let mut sequences = RULES.each_ref().map(|rule| SequenceMatcher::new(rule.signal));
        self.match_sequences(&normalized.words, &mut sequences);
        Assessment::from_counts(RULES.iter().zip(&sequences).map(|(rule, sequence)| {
            let count = match rule.signal {
                Signal::Request { .. } | Signal::Mention { .. } => sequence.match_count,
                Signal::Structure(count) => count(&structure),
                Signal::Obfuscation(count) => count(&normalized),
            };
            (rule, count)
        }))
    }

    /// Finds the concepts in the words and passes them, in order, to all sequences.
    fn match_sequences(&self, words: &str, sequences: &mut [SequenceMatcher]) {
        let mut third_person_word = None;
        let mut rest = words.bytes();
        let (mut read_bytes, mut word_index) = (0, 0);
        for found in self.phrase_finder.iter().flat_map(|finder| finder.find_overlapping_iter(words)) {
            let Some(Phrase { concept, word_count }) = self.phrases.get(found.pattern().as_usize()).copied()
            else {
                continue;
            };
            // A pattern ends with the space after its last word, or within a word if any ending is
            // allowed. One byte before the end is in its last word in both cases.
            let last_byte = found.end() - 1;
            word_index += rest.by_ref().take(last_byte - read_bytes).filter(|byte| *byte == b' ').count();
            read_bytes = last_byte;
            let first_word = (word_index + 1).saturating_sub(word_count);
            if concept == Concept::ThirdPerson {
                third_person_word = Some(word_index);
            }
            let is_about_third_person = third_person_word
                .is_some_and(|subject| first_word > subject && first_word - subject <= SUBJECT_REACH);
            let occurrence = Occurrence { concept, first_word, last_word: word_index, is_about_third_person };
            for sequence in &mut *sequences {
                sequence.advance(&occurrence);
            }
        }
    }
}

/// Returns the pattern that finds a phrase of the vocabulary in normalized words.
fn phrase_pattern(normalizer: &Normalizer, phrase: &str) -> String {
    let (phrase, allows_any_ending) = phrase.strip_suffix('*').map_or((phrase, false), |stem| (stem, true));
    let (phrase, starts_sentence) = phrase.strip_prefix('.').map_or((phrase, false), |rest| (rest, true));
    let normalized = normalizer.normalize(phrase);
    let words = normalized.words.trim_matches([' ', '.']);
    let start = if starts_sentence { " . " } else { " " };
    let end = if allows_any_ending { "" } else { " " };
    format!("{start}{words}{end}")
}

/// A concept in a text, with the indexes of its first and last word.
struct Occurrence {
    concept: Concept,
    first_word: usize,
    last_word: usize,
    is_about_third_person: bool,
}

/// Counts the occurrences of a sequence of concepts. Never matches for signals of other kinds.
struct SequenceMatcher {
    concepts: &'static [Concept],
    max_distance: usize,
    is_request: bool,
    /// For each concept, the last word of its newest occurrence that continues the sequence.
    ///
    /// The newest one is enough, because it leaves the largest distance to the next concept.
    reached: [Option<usize>; MAX_CONCEPTS],
    match_count: usize,
}

impl SequenceMatcher {
    fn new(signal: Signal) -> Self {
        let (concepts, max_distance, is_request): (&[Concept], usize, bool) = match signal {
            Signal::Request { concepts, max_distance } => (concepts, max_distance, true),
            Signal::Mention { concepts } => (concepts, Signal::MENTION_DISTANCE, false),
            Signal::Structure(_) | Signal::Obfuscation(_) => (&[], 0, false),
        };
        Self { concepts, max_distance, is_request, reached: [None; MAX_CONCEPTS], match_count: 0 }
    }

    fn advance(&mut self, occurrence: &Occurrence) {
        // In reverse order, so that one occurrence is not used for two steps.
        for step in (0..self.concepts.len()).rev() {
            if self.concepts.get(step) != Some(&occurrence.concept) || !self.can_reach(step, occurrence) {
                continue;
            }
            if step + 1 == self.concepts.len() {
                self.match_count += 1;
                self.reached = [None; MAX_CONCEPTS];
                return;
            }
            if let Some(reached) = self.reached.get_mut(step) {
                *reached = Some(occurrence.last_word);
            }
        }
    }

    /// Returns true if the occurrence starts the sequence or follows the concept before it.
    fn can_reach(&self, step: usize, occurrence: &Occurrence) -> bool {
        let Some(previous_step) = step.checked_sub(1) else {
            return !(occurrence.is_about_third_person && self.is_request);
        };
        self.reached.get(previous_step).copied().flatten().is_some_and(|previous| {
            occurrence.last_word > previous
                && occurrence.first_word.saturating_sub(previous) <= self.max_distance
        })
    }
}

#[cfg(test)]
#[path = "scorer_tests.rs"]
mod tests;

//! Finds the signs in a text and scores them.

use aho_corasick::AhoCorasick;

use super::assessment::Assessment;
use super::concepts::Concept;
use super::normalize::{Folded, Folder};
use super::rules::{RULES, Rule, Sign};
use super::structural::{Structure, StructureFinder};
use super::vocabulary::VOCABULARY;

/// Words after which a third person's deeds are told: "did she ignore earlier guidelines" is a question about her.
const REACH_OF_A_SUBJECT: usize = 2;

/// Styled letters that are no longer an ornament.
const LEAST_STYLED: usize = 8;

/// Hidden tags that spell something.
const LEAST_HIDDEN: usize = 4;

/// Scores texts. Building it takes a few milliseconds, so it is built once.
pub struct Scorer {
    folder: Folder,
    phrases: Option<AhoCorasick>,
    /// By pattern: what it stands for, and how many words it has.
    meanings: Vec<(Concept, usize)>,
    structure: StructureFinder,
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorer {
    /// Builds the automata for the vocabulary.
    #[must_use]
    pub fn new() -> Self {
        let plain = Folder::new(std::iter::empty());
        let mut patterns = Vec::new();
        let mut meanings = Vec::new();
        for (concept, phrases) in VOCABULARY.iter().flat_map(|it| it.iter()) {
            for phrase in phrases.split(',') {
                let (phrase, is_stem) =
                    phrase.trim().strip_suffix('*').map_or((phrase.trim(), false), |it| (it, true));
                let pattern = plain_pattern(&plain, phrase, is_stem);
                meanings.push((*concept, pattern.split_whitespace().count()));
                patterns.push(pattern);
            }
        }
        let folder = Folder::new(patterns.iter().map(String::as_str));
        Self {
            folder,
            phrases: AhoCorasick::new(&patterns).ok(),
            meanings,
            structure: StructureFinder::new(),
        }
    }

    /// How much a text looks like prompt injection. Takes time linear in the text.
    #[must_use]
    pub fn assess(&self, text: &str) -> Assessment {
        let folded = self.folder.fold(text);
        let structure = self.structure.find(text);
        let mut sequences = RULES.each_ref().map(Sequence::new);
        self.follow(&folded.words, &mut sequences);
        Assessment::from_counts(RULES.iter().zip(&sequences).map(|(rule, sequence)| {
            let count = match rule.sign_of {
                Sign::Sequence(_) => sequence.completed,
                Sign::Form(count) => count(&structure),
                Sign::Disguise(count) => count(&folded),
            };
            (rule, count)
        }))
    }

    /// Runs every rule over the concepts of the words, in the order they come.
    fn follow(&self, words: &str, sequences: &mut [Sequence<'_>]) {
        let mut subject = None;
        let mut rest = words.bytes();
        let (mut read, mut word) = (0, 0);
        for found in self.phrases.iter().flat_map(|it| it.find_overlapping_iter(words)) {
            let Some((concept, length)) = self.meanings.get(found.pattern().as_usize()).copied() else {
                continue;
            };
            // Patterns end after a word's space, stems within a word; both are in the word before that place.
            let upto = found.end() - 1;
            word += rest.by_ref().take(upto - read).filter(|it| *it == b' ').count();
            read = upto;
            let first = (word + 1).saturating_sub(length);
            if concept == Concept::ThirdPerson {
                subject = Some(word);
            }
            let told_of_her = subject.is_some_and(|it| first > it && first - it <= REACH_OF_A_SUBJECT);
            for sequence in &mut *sequences {
                sequence.see(concept, first, word, told_of_her);
            }
        }
    }
}

/// A phrase as it stands among folded words; a stem may go on.
fn plain_pattern(folder: &Folder, phrase: &str, is_stem: bool) -> String {
    // A dot in the vocabulary is the beginning of a sentence, which folding writes by itself.
    let Folded { words, .. } = folder.fold(phrase.trim_start_matches('.'));
    let words = words.trim_matches([' ', '.']);
    let start = if phrase.starts_with('.') { " . " } else { " " };
    format!("{start}{words}{}", if is_stem { "" } else { " " })
}

/// How far a rule has come.
struct Sequence<'a> {
    rule: &'a Rule,
    /// By step: the last word at which the rule had come so far.
    reached: [Option<usize>; 3],
    completed: usize,
}

impl<'a> Sequence<'a> {
    const fn new(rule: &'a Rule) -> Self {
        Self { rule, reached: [None; 3], completed: 0 }
    }

    /// Takes notice of a concept in the words from `first` to `last`. Remembering only the newest word by step is enough,
    /// because the newest leaves the most room for what follows.
    fn see(&mut self, concept: Concept, first: usize, last: usize, told_of_her: bool) {
        let Sign::Sequence(steps) = self.rule.sign_of else { return };
        for step in (0..steps.len()).rev() {
            if steps.get(step) != Some(&concept) {
                continue;
            }
            let follows = match step.checked_sub(1) {
                None => !(told_of_her && self.rule.is_request),
                Some(before) => self
                    .reached
                    .get(before)
                    .copied()
                    .flatten()
                    .is_some_and(|it| last > it && first.saturating_sub(it) <= self.rule.within),
            };
            if follows && step + 1 == steps.len() {
                self.completed += 1;
                self.reached = [None; 3];
                return;
            }
            if let Some(reached) = self.reached.get_mut(step).filter(|_| follows) {
                *reached = Some(last);
            }
        }
    }
}

/// The parts of a text whose counts are signs, for the table of rules.
pub(super) type CountForm = fn(&Structure) -> usize;

/// Likewise for disguises.
pub(super) type CountDisguise = fn(&Folded) -> usize;

/// Styled letters count as one sign once they are many.
pub(super) fn styled(folded: &Folded) -> usize {
    usize::from(folded.styled >= LEAST_STYLED)
}

/// Hidden tags count as one sign once they spell something.
pub(super) fn hidden(folded: &Folded) -> usize {
    usize::from(folded.hidden >= LEAST_HIDDEN)
}

#[cfg(test)]
#[path = "scorer_tests.rs"]
mod tests;

//! The phrases that stand for each concept, by language.
//!
//! Phrases are separated by commas. They are normalized like the text, so they are written as
//! people write them. A `*` at the end of a phrase allows any ending of its last word, and a `.` at
//! the start requires the start of a sentence.

mod chinese;
mod dutch;
mod english;
mod english_personas;
mod french;
mod german;
mod italian;
mod russian;
mod spanish_portuguese;
mod swedish;

use super::concepts::Concept;

pub(super) struct Entry {
    pub(super) concept: Concept,
    pub(super) phrases: &'static str,
}

pub(super) const VOCABULARY: [&[Entry]; 10] = [
    english::PHRASES,
    english_personas::PHRASES,
    german::PHRASES,
    french::PHRASES,
    spanish_portuguese::PHRASES,
    italian::PHRASES,
    dutch::PHRASES,
    swedish::PHRASES,
    chinese::PHRASES,
    russian::PHRASES,
];

//! The vocabulary: what words stand for which concept, by language.
//!
//! Phrases are separated by commas and folded like the text, so they are written as people write them. A `*` at the end
//! takes any ending, a `.` at the start asks for the beginning of a sentence.

mod dutch;
mod english;
mod english_personas;
mod german;

use super::concepts::Concept;

/// A concept with its phrases.
pub(super) type Entry = (Concept, &'static str);

/// Everything the scorer knows.
pub(super) const VOCABULARY: [&[Entry]; 5] =
    [english::ENGLISH, english_personas::ENGLISH_PERSONAS, german::EUROPEAN, dutch::FURTHER, dutch::RUSSIAN];

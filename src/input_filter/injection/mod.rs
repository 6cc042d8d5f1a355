//! Scores how much a question looks like prompt injection, an attempt to take over the model.
//!
//! A [`Scorer`] works in these steps:
//!
//! 1. `normalize` reduces the text to plain words, and `obfuscation` undoes the usual disguises.
//! 2. `vocabulary` maps phrases in ten languages to `concepts`, and `rules` match sequences of
//!    concepts.
//! 3. `structural` counts signals that are not words: forged delimiters, encoded data, and links
//!    that can leak data.
//! 4. [`Assessment`] combines the weights of the matched rules into a score.
//!
//! The score is a first filter, not a proof. The defence is the model's own instructions and the
//! owner's policy for suspicious questions.

mod assessment;
mod category;
mod concepts;
mod normalize;
mod obfuscation;
mod rules;
mod scorer;
mod stats;
mod structural;
mod vocabulary;

pub use assessment::{Assessment, Evidence, THRESHOLD};
pub use category::Category;
pub use scorer::Scorer;
pub use stats::{DetectionStats, measure};

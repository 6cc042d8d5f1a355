//! How much a question looks like an attempt to take over the model (prompt injection).
//!
//! A [`Scorer`] folds the text to plain words (`normalize`, which sees through disguises), finds the `concepts` those
//! words stand for (`vocabulary` lists them), and looks for concepts that follow one another (`rules`). What is not words
//! but form (forged marks, encoded payloads, links that carry data away) is found by `structural`. Each sign found has a
//! weight in one table; the score is the chance that not all of them are accidents. It is a first filter and no proof: the
//! model's own instructions and the policy on what is flagged are the defence, this decides whom to be careful with.

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
pub use category::Family;
pub use scorer::Scorer;
pub use stats::{Tally, measure};

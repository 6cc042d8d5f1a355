//! What was found in a text, and the score that follows from it.

use super::category::Family;
use super::rules::Rule;

/// From this score on a text is suspicious. One strong sign reaches it, of weak ones two or three are needed: each weak
/// sign occurs in honest questions too, their meeting rarely does.
pub const THRESHOLD: f32 = 0.5;

/// Repetitions of one sign that count, each half as much as the one before: a word said often is still one word.
const MAX_REPETITIONS: usize = 3;

/// A sign that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The family it speaks for.
    pub family: Family,
    /// Its name in the table of signs. Never a part of the text.
    pub sign: &'static str,
    /// How often it was found.
    pub count: usize,
    /// What it adds to the score when it is found once and nothing else is.
    pub weight: f32,
}

/// How much a text looks like prompt injection, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// From 0 (nothing found) to 1.
    pub score: f32,
    /// Whether the score reaches [`THRESHOLD`].
    pub suspicious: bool,
    /// The families something was found of, each once.
    pub families: Vec<Family>,
    /// The signs, in the order of the table.
    pub evidence: Vec<Evidence>,
}

impl Assessment {
    /// The assessment that follows from how often each sign was found.
    ///
    /// Signs count as independent: the score is the chance that at least one of them is no accident, so it grows with
    /// every sign and never passes 1.
    pub(super) fn from_counts<'a>(counts: impl Iterator<Item = (&'a Rule, usize)>) -> Self {
        let evidence: Vec<_> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(rule, count)| Evidence {
                family: rule.family,
                sign: rule.sign,
                count,
                weight: rule.weight,
            })
            .collect();
        let accident: f32 = evidence.iter().map(chance_of_accident).product();
        let families =
            Family::ALL.into_iter().filter(|it| evidence.iter().any(|found| found.family == *it)).collect();
        let score = (1.0 - accident).clamp(0.0, 1.0);
        Self { score, suspicious: score >= THRESHOLD, families, evidence }
    }
}

fn chance_of_accident(found: &Evidence) -> f32 {
    let weights = std::iter::successors(Some(found.weight), |weight| Some(weight / 2.0));
    weights.take(found.count.min(MAX_REPETITIONS)).map(|weight| 1.0 - weight).product()
}

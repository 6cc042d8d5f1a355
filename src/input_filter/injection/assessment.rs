//! The result of scoring a text.

use strum::VariantArray;

use super::category::Category;
use super::rules::Rule;

/// The score from which a text is suspicious.
///
/// One strong rule reaches it; weak rules reach it only if two or three of them match. Each weak
/// rule also matches benign questions, but several rarely match the same question.
pub const THRESHOLD: f32 = 0.5;

/// The maximum number of matches of one rule that count. Each counts half as much as the one
/// before, because a repeated word is still one word.
const MAX_MATCHES: usize = 3;

/// A rule that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The category of the rule.
    pub category: Category,
    /// The name of the rule, which contains nothing of the text.
    pub rule: &'static str,
    /// The number of matches.
    pub count: usize,
    /// The score of one match without any other evidence.
    pub weight: f32,
}

/// How much a text looks like prompt injection, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// From 0 (no rule matched) to 1.
    pub score: f32,
    /// True if the score reaches [`THRESHOLD`].
    pub suspicious: bool,
    /// The categories of the evidence, without repetition.
    pub categories: Vec<Category>,
    /// The rules that matched, in the order of the table.
    pub evidence: Vec<Evidence>,
}

impl Assessment {
    /// Computes the score from the number of matches of each rule.
    ///
    /// A weight is the probability that a match is not a coincidence. Matches count as independent,
    /// so the score is the probability that not all of them are coincidences.
    pub(super) fn from_counts<'a>(counts: impl Iterator<Item = (&'a Rule, usize)>) -> Self {
        let evidence: Vec<_> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(rule, count)| Evidence {
                category: rule.category,
                rule: rule.name,
                count,
                weight: rule.weight,
            })
            .collect();
        let all_coincidence: f32 = evidence.iter().map(coincidence_probability).product();
        let score = (1.0 - all_coincidence).clamp(0.0, 1.0);
        let has_evidence = |category: &Category| evidence.iter().any(|item| item.category == *category);
        let categories = Category::VARIANTS.iter().copied().filter(has_evidence).collect();
        Self { score, suspicious: score >= THRESHOLD, categories, evidence }
    }
}

fn coincidence_probability(evidence: &Evidence) -> f32 {
    let weights = std::iter::successors(Some(evidence.weight), |weight| Some(weight / 2.0));
    weights.take(evidence.count.min(MAX_MATCHES)).map(|weight| 1.0 - weight).product()
}

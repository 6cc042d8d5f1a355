//! Measures the detection rate of the scorer on a set of texts.

use std::collections::BTreeMap;

use super::category::Category;
use super::scorer::Scorer;

/// How many texts of a set the scorer flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectionStats {
    /// The number of texts.
    pub texts: usize,
    /// The number of suspicious texts.
    pub flagged: usize,
    /// The number of suspicious texts per category. A text can count in several categories.
    pub by_category: BTreeMap<Category, usize>,
}

impl DetectionStats {
    /// Returns the share of flagged texts, from 0 to 1, or 0 for no texts.
    ///
    /// For attacks this is the detection rate, for benign texts the false-positive rate.
    #[must_use]
    pub fn flagged_share(&self) -> f64 {
        let to_float = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        if self.texts == 0 { 0.0 } else { to_float(self.flagged) / to_float(self.texts) }
    }
}

/// Scores all texts and counts the suspicious ones.
pub fn measure<'a>(texts: impl Iterator<Item = &'a str>) -> DetectionStats {
    let scorer = Scorer::new();
    let mut stats = DetectionStats::default();
    for text in texts {
        stats.texts += 1;
        let assessment = scorer.assess(text);
        if assessment.suspicious {
            stats.flagged += 1;
            for category in assessment.categories {
                *stats.by_category.entry(category).or_default() += 1;
            }
        }
    }
    stats
}

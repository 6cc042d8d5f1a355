//! Measures the scorer on a list of texts.

use std::collections::BTreeMap;

use super::category::Family;
use super::scorer::Scorer;

/// How many texts of a list are suspicious.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Texts in all.
    pub count: usize,
    /// Texts that are suspicious.
    pub flagged: usize,
    /// Suspicious texts in which something of a family was found; one text may count for several.
    pub families: BTreeMap<Family, usize>,
}

impl Tally {
    /// The flagged share, from 0 to 1: recall on attacks, the rate of false alarms on honest texts. 0 for no texts.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let number = |it: usize| u32::try_from(it).map_or(f64::from(u32::MAX), f64::from);
        if self.count == 0 { 0.0 } else { number(self.flagged) / number(self.count) }
    }
}

/// Assesses every text and counts.
pub fn measure<'a>(texts: impl Iterator<Item = &'a str>) -> Tally {
    let scorer = Scorer::new();
    let mut tally = Tally::default();
    for text in texts {
        tally.count += 1;
        let assessment = scorer.assess(text);
        if assessment.suspicious {
            tally.flagged += 1;
            for family in assessment.families {
                *tally.families.entry(family).or_default() += 1;
            }
        }
    }
    tally
}

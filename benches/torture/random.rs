//! Chance that a seed decides, so that a run can be told again.

/// SplitMix64: small, and good enough to choose what a visitor does.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of one of those who take part: each has its own, so that none depends on the
    /// order of the others.
    pub(crate) fn of(seed: u64, who: &str) -> Self {
        let mixed = who.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).next());
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to but without `to`; `from` when there is none.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % to.saturating_sub(from).max(1)
    }

    /// As [`Self::between`] from 0, for counts of things.
    pub(crate) fn below(&mut self, to: usize) -> usize {
        usize::try_from(self.between(0, u64::try_from(to).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// Happens so many times in a hundred.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.between(0, 100) < share
    }
}

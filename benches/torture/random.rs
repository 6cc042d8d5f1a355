//! A random number generator with a seed, so that a run can be repeated.

/// SplitMix64: small, and good enough to choose actions.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates the sequence of one participant. Each has its own, so that none depends on the order
    /// in which the others run.
    pub(crate) fn new(seed: u64, participant: &str) -> Self {
        let mixed = participant.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).next());
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from `from` up to but not including `to`, or `from` if the range is empty.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % to.saturating_sub(from).max(1)
    }

    /// Returns a number from 0 up to but not including `to`.
    pub(crate) fn below(&mut self, to: usize) -> usize {
        usize::try_from(self.between(0, u64::try_from(to).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// Returns true with this probability in percent.
    pub(crate) fn percent(&mut self, probability: u64) -> bool {
        self.between(0, 100) < probability
    }
}

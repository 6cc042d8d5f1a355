//! The odd fields of a response, which were ignored.

use strum::VariantArray;

use crate::telemetry::metrics::IgnoredField;

/// The maximum number of characters kept of an unknown finish reason.
const MAX_REASON_CHARS: usize = 40;

/// How often fields of each kind were ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredFields(Option<Box<Counts>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    counts: [u32; IgnoredField::VARIANTS.len()],
    /// The first finish reason that belongs to no known family.
    finish_reason: Option<Box<str>>,
}

impl IgnoredFields {
    /// Counts an ignored field.
    pub(crate) fn add(&mut self, field: IgnoredField) {
        let position = IgnoredField::VARIANTS.iter().position(|variant| *variant == field);
        let counts = &mut self.0.get_or_insert_default().counts;
        if let Some(count) = position.and_then(|position| counts.get_mut(position)) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a finish reason that belongs to no known family.
    pub(crate) fn add_finish_reason(&mut self, reason: &str) {
        self.add(IgnoredField::FinishReason);
        let printable = reason.chars().filter(|character| !character.is_control()).take(MAX_REASON_CHARS);
        let kept = &mut self.0.get_or_insert_default().finish_reason;
        kept.get_or_insert_with(|| printable.collect::<String>().into());
    }

    /// Returns the first finish reason that belongs to no known family.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.0.as_ref()?.finish_reason.as_deref()
    }

    /// Returns the kinds that occurred, with their number.
    pub fn counts(&self) -> impl Iterator<Item = (IgnoredField, u32)> {
        let counts =
            self.0.iter().flat_map(|counts| IgnoredField::VARIANTS.iter().copied().zip(counts.counts));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts().next().is_none()
    }
}

impl std::fmt::Display for IgnoredFields {
    /// Writes the kinds and their number, such as `usage 2, model 1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for (field, count) in self.counts() {
            write!(f, "{separator}{} {count}", field.as_str())?;
            separator = ", ";
        }
        Ok(())
    }
}

//! The offsets at which the deltas of an answer end, stored with its text. A plain value.
//!
//! A client's cursor counts deltas. After a restart an answer can therefore be resumed from a
//! cursor only if the end of each delta is stored. The offsets are encoded as the byte length of
//! each delta, in groups of seven bits, lowest group first, with the highest bit set on all but the
//! last (LEB128). No delta is empty, so the encoding is never longer than the text.

/// The maximum number of bytes of one encoded length; enough for the largest answer.
const MAX_LENGTH_BYTES: u32 = 4;

/// The offsets at which an answer's deltas end, in encoded form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaOffsets(Vec<u8>);

impl DeltaOffsets {
    /// Encodes the end offsets of deltas, given in order.
    #[must_use]
    pub fn from_ends(ends: &[usize]) -> Self {
        let mut bytes = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            let mut length = end.saturating_sub(start);
            start = *end;
            while length > 0x7f {
                bytes.push(low_seven_bits(length) | 0x80);
                length >>= 7;
            }
            bytes.push(low_seven_bits(length));
        }
        Self(bytes)
    }

    /// Wraps encoded offsets as read from the store. [`Self::decode`] validates them.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the encoded offsets, for the store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the end offset of each delta in `text`. Returns `None` if the encoding does not
    /// belong to `text`: the lengths do not add up to it, a delta is empty, or a character would be
    /// split.
    #[must_use]
    pub fn decode(&self, text: &str) -> Option<Vec<usize>> {
        let mut ends = Vec::new();
        let (mut end, mut length, mut shift) = (0_usize, 0_usize, 0_u32);
        for byte in &self.0 {
            if shift >= 7 * MAX_LENGTH_BYTES {
                return None;
            }
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                shift += 7;
                continue;
            }
            end = end.checked_add(length).filter(|end| length > 0 && text.is_char_boundary(*end))?;
            ends.push(end);
            (length, shift) = (0, 0);
        }
        (end == text.len() && shift == 0).then_some(ends)
    }
}

fn low_seven_bits(length: usize) -> u8 {
    u8::try_from(length & 0x7f).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end_offsets(deltas: &[String]) -> Vec<usize> {
        deltas
            .iter()
            .scan(0, |end, delta| {
                Some({
                    *end += delta.len();
                    *end
                })
            })
            .collect()
    }

    #[test]
    fn lengths_that_do_not_match_the_text_are_rejected() {
        for (bytes, text) in [
            (&[3][..], "four"),
            (&[5], "four"),
            (&[4, 0], "four"),
            (&[0, 4], "four"),
            (&[1, 3], "éab"),
            (&[4, 0x80], "four"),
            (&[0x84, 0x80, 0x80, 0x80, 0x00], "four"),
            (&[], "four"),
            (&[1], ""),
        ] {
            assert_eq!(DeltaOffsets::from_bytes(bytes.to_vec()).decode(text), None, "{bytes:?} {text:?}");
        }
        assert_eq!(DeltaOffsets::default().decode(""), Some(Vec::new()), "an empty answer has no deltas");
    }

    proptest! {
        #[test]
        fn encoding_round_trips_and_is_not_longer_than_the_text(
            deltas in prop::collection::vec("\\PC{1,300}", 0..60),
        ) {
            let (text, ends) = (deltas.concat(), end_offsets(&deltas));
            let stored = DeltaOffsets::from_ends(&ends);
            prop_assert!(stored.as_bytes().len() <= text.len());
            prop_assert_eq!(stored.decode(&text), Some(ends));
        }

        #[test]
        fn arbitrary_bytes_decode_to_valid_offsets_or_to_nothing(
            bytes in prop::collection::vec(0_u8..=255, 0..40),
            text in "\\PC{0,40}",
        ) {
            if let Some(ends) = DeltaOffsets::from_bytes(bytes).decode(&text) {
                prop_assert!(ends.is_sorted_by(|a, b| a < b));
                prop_assert!(ends.iter().all(|end| *end > 0 && text.is_char_boundary(*end)));
                prop_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
            }
        }

        #[test]
        fn encoding_of_a_prefix_is_a_prefix_of_the_encoding(
            deltas in prop::collection::vec("\\PC{1,9}", 1..40), kept in 0_usize..40,
        ) {
            let ends = end_offsets(&deltas);
            let earlier = ends.get(..kept.min(ends.len())).unwrap_or_default();
            let (whole, part) = (DeltaOffsets::from_ends(&ends), DeltaOffsets::from_ends(earlier));
            prop_assert!(whole.as_bytes().starts_with(part.as_bytes()));
        }
    }
}

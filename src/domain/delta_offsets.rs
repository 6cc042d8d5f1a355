//! Where the deltas of an answer end, as it is stored beside its text. A plain value.
//!
//! A client's cursor is a number of deltas, so an answer can be gone on with after its log is lost only if the store knows
//! where each of them ended. It keeps the length of each in bytes, in groups of seven bits with the lowest first and the
//! highest bit set on all but the last. No delta is empty, so the whole is never longer than the text.

/// Bytes of the longest length that is read: enough for an answer of any size we take.
const MAX_LENGTH_BYTES: u32 = 4;

/// The lengths of an answer's deltas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boundaries(Vec<u8>);

impl Boundaries {
    /// The lengths of deltas that end at these offsets of their text, in order.
    #[must_use]
    pub fn of(ends: &[usize]) -> Self {
        let mut bytes = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            let mut length = end.saturating_sub(start);
            start = *end;
            while length > 0x7f {
                bytes.push(low_bits(length) | 0x80);
                length >>= 7;
            }
            bytes.push(low_bits(length));
        }
        Self(bytes)
    }

    /// What was stored, whatever it is.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The end of each delta in `text`; `None` when these are not the lengths of its deltas: they do not add up to it, one is
    /// empty, or one would cut a character.
    #[must_use]
    pub fn ends_in(&self, text: &str) -> Option<Vec<usize>> {
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

fn low_bits(length: usize) -> u8 {
    u8::try_from(length & 0x7f).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends_of(deltas: &[String]) -> Vec<usize> {
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
    fn lengths_that_are_not_those_of_the_text_are_no_boundaries() {
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
            assert_eq!(Boundaries::from_bytes(bytes.to_vec()).ends_in(text), None, "{bytes:?} {text:?}");
        }
        assert_eq!(Boundaries::default().ends_in(""), Some(Vec::new()), "nothing was said yet");
    }

    proptest! {
        #[test]
        fn the_ends_of_deltas_are_found_again_and_take_no_more_bytes_than_the_text(
            deltas in prop::collection::vec("\\PC{1,300}", 0..60),
        ) {
            let (text, ends) = (deltas.concat(), ends_of(&deltas));
            let stored = Boundaries::of(&ends);
            prop_assert!(stored.as_bytes().len() <= text.len());
            prop_assert_eq!(stored.ends_in(&text), Some(ends));
        }

        #[test]
        fn any_bytes_give_the_ends_of_whole_characters_up_to_the_end_or_nothing(
            bytes in prop::collection::vec(0_u8..=255, 0..40),
            text in "\\PC{0,40}",
        ) {
            if let Some(ends) = Boundaries::from_bytes(bytes).ends_in(&text) {
                prop_assert!(ends.is_sorted_by(|a, b| a < b));
                prop_assert!(ends.iter().all(|end| *end > 0 && text.is_char_boundary(*end)));
                prop_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
            }
        }

        #[test]
        fn an_answer_that_grew_is_an_answer_whose_boundaries_grew(
            deltas in prop::collection::vec("\\PC{1,9}", 1..40), kept in 0_usize..40,
        ) {
            let ends = ends_of(&deltas);
            let earlier = ends.get(..kept.min(ends.len())).unwrap_or_default();
            let (whole, part) = (Boundaries::of(&ends), Boundaries::of(earlier));
            prop_assert!(whole.as_bytes().starts_with(part.as_bytes()));
        }
    }
}

//! Characters that a server sends in two halves.

use crate::llm::upstream::json::{SURROGATE_OFFSET, pair};

/// Joins halves of surrogate pairs, which a server may have sent in two strings. `half` is the half
/// at the end of the text before, and becomes the half at the end of this one. A half without its
/// other half becomes U+FFFD and counts in `replaced`.
pub(crate) fn join_surrogates(half: &mut Option<u32>, text: &str, replaced: &mut u32) -> Option<String> {
    let as_unit = |character: char| {
        let unit = u32::from(character).wrapping_sub(SURROGATE_OFFSET);
        (0xD800..0xE000).contains(&unit).then_some(unit)
    };
    if text.is_empty() || (half.is_none() && !text.chars().any(|character| as_unit(character).is_some())) {
        return None;
    }
    let mut joined = String::with_capacity(text.len());
    for character in text.chars() {
        let unit = as_unit(character);
        match (half.take(), unit) {
            (Some(high), Some(low @ 0xDC00..0xE000)) => {
                joined.extend(char::from_u32(pair(high, low)));
                continue;
            }
            (Some(_), _) => {
                joined.push(char::REPLACEMENT_CHARACTER);
                *replaced += 1;
            }
            (None, _) => {}
        }
        match unit {
            None => joined.push(character),
            Some(high @ 0xD800..0xDC00) => *half = Some(high),
            Some(_) => {
                joined.push(char::REPLACEMENT_CHARACTER);
                *replaced += 1;
            }
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::upstream::json::Json;

    #[test]
    fn halves_of_a_character_are_joined_across_texts() {
        let (mut half, mut replaced) = (None, 0);
        let mut join = |json: &str| {
            let value = Json::read_all(json).values.remove(0);
            let text = value.text("a").unwrap().to_owned();
            join_surrogates(&mut half, &text, &mut replaced).unwrap_or(text)
        };
        assert_eq!(join(r#"{"a": "x\ud83d"}"#), "x");
        assert_eq!(join(r#"{"a": "\ude00y\ud83d"}"#), "😀y");
        assert_eq!(join(r#"{"a": "z\ude00"}"#), "\u{fffd}z\u{fffd}");
        assert_eq!(join(r#"{"a": "\ud83d\ude00"}"#), "😀");
        assert_eq!((half, replaced), (None, 2));
    }
}

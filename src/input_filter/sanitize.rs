//! Removes invisible characters from a text, without losing anything visible.

use std::borrow::Cow;

use super::char_class::{
    BLACK_FLAG, CANCEL_TAG, COMBINING_KEYCAP, CharClass, EMOJI_SELECTOR, TEXT_SELECTOR, ZERO_WIDTH_JOINER,
    has_emoji_form, has_variation, is_joining_letter, is_pictograph, is_right_to_left_letter, is_skin_tone,
    is_virama, joins_next_letter,
};

/// The maximum number of combining marks on one base character.
///
/// The deepest stacks in use (Tibetan, pointed and cantillated Hebrew) have as many. Text that is
/// made to overflow into other lines has dozens.
const MAX_MARKS: usize = 8;

/// The maximum number of line breaks in a row. More than one empty line only pushes text out of
/// sight.
const MAX_LINE_BREAKS: usize = 2;

/// The number of tags in the name of a region: a country and one to four characters for its part.
const REGION_TAGS: std::ops::RangeInclusive<usize> = 3..=6;

/// Removes invisible characters and normalizes white space.
///
/// - Removes control, format and other invisible characters, including the embeddings, overrides
///   and isolates of text direction.
/// - Keeps zero-width joiners, variation selectors and tags where they form an emoji, a letter form
///   or a flag. Keeps the direction marks U+200E, U+200F and U+061C next to punctuation and spaces
///   in a text with right-to-left letters, which need them, but never between two letters.
/// - Keeps at most eight combining marks on a base character. Does not compose, decompose or
///   replace any character.
/// - Replaces runs of spaces of any width by one space, and line breaks by `\n`, at most two in a
///   row. Trims the text.
///
/// Takes linear time. The function is idempotent, and the result is never longer than the text, in
/// bytes and in characters.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if is_clean_ascii(text) {
        return Cow::Borrowed(text);
    }
    let has_right_to_left = text.chars().any(is_right_to_left_letter);
    let mut output = Output { text: String::with_capacity(text.len()), ..Output::default() };
    // Forbidden characters are skipped here and not in the match, because they must not separate
    // the parts of an emoji.
    let mut rest = text.chars().filter(|character| CharClass::from_char(*character) != CharClass::Forbidden);
    while let Some(character) = rest.next() {
        let next = || rest.clone().next();
        match CharClass::from_char(character) {
            CharClass::Forbidden | CharClass::Tag => {}
            CharClass::Visible => {
                output.push_base(character);
                if character == BLACK_FLAG {
                    let tags = count_region_tags(rest.clone());
                    rest.by_ref().take(tags).for_each(|tag| output.append(tag));
                }
            }
            CharClass::CombiningMark => output.push_mark(character),
            CharClass::Space => output.pending_space = true,
            CharClass::LineBreak if character == '\r' && next() == Some('\n') => {}
            CharClass::LineBreak => output.pending_line_breaks += 1,
            CharClass::Joiner if output.needs_joiner(character, next()) => output.append(character),
            CharClass::VariationSelector if output.needs_selector(character, next()) => {
                output.append(character);
            }
            CharClass::DirectionMark if has_right_to_left && output.needs_direction_mark(next()) => {
                output.push_base(character);
            }
            CharClass::Joiner | CharClass::VariationSelector | CharClass::DirectionMark => {}
        }
    }
    if output.text == text { Cow::Borrowed(text) } else { Cow::Owned(output.text) }
}

/// Returns true for printable ASCII with single spaces: the usual case, which needs no changes.
fn is_clean_ascii(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !bytes.windows(2).any(|pair| pair == b"  ")
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
}

/// Counts the tags, including the last one, that name a region after a black flag. Returns 0 if the
/// characters are not the name of a region.
fn count_region_tags(after_flag: impl Iterator<Item = char>) -> usize {
    let mut tags = 0;
    for character in after_flag.take(REGION_TAGS.end() + 1) {
        match character {
            '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}' => tags += 1,
            CANCEL_TAG if REGION_TAGS.contains(&tags) => return tags + 1,
            _ => return 0,
        }
    }
    0
}

/// The sanitized text so far, with the state for the decision about the next character.
///
/// A decision depends on the sanitized text and on the next character at most, and on the latter
/// only if it stays in any case. This makes the function idempotent.
#[derive(Default)]
struct Output {
    text: String,
    last: Option<char>,
    /// The last base character, which is `last` unless marks or selectors follow it.
    base: Option<char>,
    /// The number of marks on `base`.
    marks: usize,
    pending_space: bool,
    pending_line_breaks: usize,
}

impl Output {
    fn push_base(&mut self, character: char) {
        self.flush_white_space();
        self.base = Some(character);
        self.marks = 0;
        self.append(character);
    }

    fn push_mark(&mut self, mark: char) {
        self.flush_white_space();
        if self.marks < MAX_MARKS {
            self.marks += 1;
            self.append(mark);
        }
    }

    /// Appends a character that belongs to the base character.
    fn append(&mut self, character: char) {
        self.text.push(character);
        self.last = Some(character);
    }

    /// Writes the pending white space, unless it is at the start of the text.
    fn flush_white_space(&mut self) {
        let has_space = std::mem::take(&mut self.pending_space);
        let line_breaks = std::mem::take(&mut self.pending_line_breaks);
        if self.text.is_empty() || !(has_space || line_breaks > 0) {
            return;
        }
        self.marks = 0;
        if line_breaks == 0 {
            self.base = Some(' ');
            self.append(' ');
        } else {
            self.base = Some('\n');
            (0..line_breaks.min(MAX_LINE_BREAKS)).for_each(|_| self.append('\n'));
        }
    }

    /// Returns the character directly before the next one, or `None` if white space is pending.
    fn preceding(&self) -> Option<char> {
        self.last.filter(|_| !self.pending_space && self.pending_line_breaks == 0)
    }

    fn needs_joiner(&self, joiner: char, next: Option<char>) -> bool {
        let (Some(preceding), Some(base)) = (self.preceding(), self.base) else { return false };
        let next_is = |property: fn(char) -> bool| next.is_some_and(property);
        let follows_base = preceding == base;
        // Bengali has the joiner before the virama when the letter ya follows ra.
        if is_virama(preceding) || (follows_base && base.is_alphabetic() && next_is(is_virama)) {
            return true;
        }
        if joiner == ZERO_WIDTH_JOINER && (is_pictograph(base) || is_skin_tone(base)) {
            let follows_emoji = follows_base || preceding == EMOJI_SELECTOR;
            return follows_emoji && next_is(is_pictograph);
        }
        // At most one joiner per letter, because sequences of joiners could hide data.
        let follows_letter = follows_base || CharClass::from_char(preceding) == CharClass::CombiningMark;
        follows_letter
            && match joiner {
                ZERO_WIDTH_JOINER => joins_next_letter(base),
                _ => is_joining_letter(base) && next_is(is_joining_letter),
            }
    }

    fn needs_selector(&self, selector: char, next: Option<char>) -> bool {
        let Some(preceding) = self.preceding() else { return false };
        // ASCII digits have an emoji form only as keycaps.
        let selects_emoji_form = matches!(selector, TEXT_SELECTOR | EMOJI_SELECTOR)
            && has_emoji_form(preceding)
            && (!preceding.is_ascii() || next == Some(COMBINING_KEYCAP));
        selects_emoji_form || has_variation(preceding, selector)
    }

    fn needs_direction_mark(&self, next: Option<char>) -> bool {
        let is_next_of =
            |classes: &[CharClass]| next.is_none_or(|next| classes.contains(&CharClass::from_char(next)));
        match self.preceding() {
            Some(preceding)
                if preceding.is_alphabetic() || CharClass::from_char(preceding) != CharClass::Visible =>
            {
                let is_next_letter = next.is_some_and(char::is_alphabetic);
                is_next_of(&[CharClass::Space, CharClass::LineBreak])
                    || (is_next_of(&[CharClass::Visible]) && !is_next_letter)
            }
            // A direction mark must not become the base of a combining mark. Of several in a row,
            // the last one stays.
            _ => is_next_of(&[CharClass::Visible, CharClass::Space, CharClass::LineBreak]),
        }
    }
}

#[cfg(test)]
#[path = "sanitize_tests.rs"]
mod tests;

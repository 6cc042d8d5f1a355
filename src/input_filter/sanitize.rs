//! Makes a visitor's text fit to be shown, stored and sent: nothing in it is invisible, and nothing visible is lost.

use std::borrow::Cow;

use super::char_class::{
    BLACK_FLAG, CANCEL_TAG, EMOJI_VARIANT, KEYCAP, Kind, ZERO_WIDTH_JOINER, has_emoji_variant,
    is_joining_letter, is_pictograph, is_right_to_left_letter, is_skin_tone, is_virama, joins_onwards, kind,
    takes_variation,
};

/// Marks that stay on one base character. The deepest stacks in use (Tibetan, pointed and chanted Hebrew) reach it; text
/// made to spill over its neighbours has dozens.
const MAX_MARKS: usize = 8;

/// Line ends in a row that stay: one empty line separates paragraphs, more only push text out of sight.
const MAX_LINE_ENDS: usize = 2;

/// The lengths of a region's name in a flag, in tags: a country and one to four characters of its part.
const REGION_TAGS: std::ops::RangeInclusive<usize> = 3..=6;

/// The text without what cannot be seen, and with plain white space.
///
/// - Control, format and other invisible characters go, as do embeddings, overrides and isolates of direction.
/// - Zero-width joiners, variation selectors and tags stay where they make up an emoji, a letter's form or a flag. The
///   marks of direction U+200E, U+200F and U+061C stay beside punctuation and spaces in a text with right-to-left
///   letters, where they are needed to place it, and never between two letters.
/// - A base character keeps at most eight combining marks. Nothing is composed, decomposed or otherwise replaced.
/// - Runs of spaces of any width become one space, line ends become `\n`, at most two in a row; the ends are trimmed.
///
/// Takes linear time. The result is never longer than the text, in bytes and in characters, and is its own result.
#[must_use]
pub fn sanitise(text: &str) -> Cow<'_, str> {
    if is_already_plain(text) {
        return Cow::Borrowed(text);
    }
    let right_to_left = text.chars().any(is_right_to_left_letter);
    let mut kept = Kept { text: String::with_capacity(text.len()), ..Kept::default() };
    // What never stays is left out before anything looks at its neighbours, so that it cannot take an emoji apart.
    let mut rest = text.chars().filter(|it| kind(*it) != Kind::Refused);
    while let Some(it) = rest.next() {
        let next = || rest.clone().next();
        match kind(it) {
            Kind::Refused | Kind::Tag => {}
            Kind::Plain => {
                kept.base(it);
                if it == BLACK_FLAG {
                    let tags = region_tags(rest.clone());
                    rest.by_ref().take(tags).for_each(|tag| kept.attach(tag));
                }
            }
            Kind::Mark => kept.mark(it),
            Kind::Space => kept.space = true,
            Kind::LineEnd if it == '\r' && next() == Some('\n') => {}
            Kind::LineEnd => kept.line_ends += 1,
            Kind::Joiner if kept.joins(it, next()) => kept.attach(it),
            Kind::Variation if kept.varies(it, next()) => kept.attach(it),
            Kind::Direction if right_to_left && kept.directs(next()) => kept.base(it),
            Kind::Joiner | Kind::Variation | Kind::Direction => {}
        }
    }
    if kept.text == text { Cow::Borrowed(text) } else { Cow::Owned(kept.text) }
}

/// The usual case at the price of one look: printable ASCII with single spaces.
fn is_already_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|it| matches!(it, b' '..=b'~'))
        && !bytes.windows(2).any(|pair| pair == b"  ")
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
}

/// How many of the characters after a black flag spell a region, its end included; none if they are no region.
fn region_tags(after: impl Iterator<Item = char>) -> usize {
    let mut tags = 0;
    for it in after.take(REGION_TAGS.end() + 1) {
        match it {
            '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}' => tags += 1,
            CANCEL_TAG if REGION_TAGS.contains(&tags) => return tags + 1,
            _ => return 0,
        }
    }
    0
}

/// What is kept so far, and what deciding on the next character takes.
///
/// Decisions look back at what was kept and ahead at most at the very next character, which only counts if it stays in
/// any case. That is what makes a second run decide the same.
#[derive(Default)]
struct Kept {
    text: String,
    last: Option<char>,
    /// The last base character: `last` without the marks on it.
    base: Option<char>,
    marks: usize,
    space: bool,
    line_ends: usize,
}

impl Kept {
    fn base(&mut self, it: char) {
        self.separate();
        self.base = Some(it);
        self.marks = 0;
        self.attach(it);
    }

    fn mark(&mut self, it: char) {
        self.separate();
        if self.marks < MAX_MARKS {
            self.marks += 1;
            self.attach(it);
        }
    }

    fn attach(&mut self, it: char) {
        self.text.push(it);
        self.last = Some(it);
    }

    /// Writes the white space before a character that stays.
    fn separate(&mut self) {
        let (space, line_ends) = (std::mem::take(&mut self.space), std::mem::take(&mut self.line_ends));
        if self.text.is_empty() || !(space || line_ends > 0) {
            return;
        }
        self.marks = 0;
        if line_ends == 0 {
            self.base = Some(' ');
            self.attach(' ');
        } else {
            self.base = Some('\n');
            (0..line_ends.min(MAX_LINE_ENDS)).for_each(|_| self.attach('\n'));
        }
    }

    /// The character a joiner or selector would follow.
    fn before(&self) -> Option<char> {
        self.last.filter(|_| !self.space && self.line_ends == 0)
    }

    fn joins(&self, joiner: char, next: Option<char>) -> bool {
        let (Some(before), Some(base)) = (self.before(), self.base) else { return false };
        let next_is = |property: fn(char) -> bool| next.is_some_and(property);
        // Bengali writes the joiner before the virama, where ya follows ra.
        if is_virama(before) || (before == base && base.is_alphabetic() && next_is(is_virama)) {
            return true;
        }
        if joiner == ZERO_WIDTH_JOINER && (is_pictograph(base) || is_skin_tone(base)) {
            let ends_an_emoji = before == base || before == EMOJI_VARIANT;
            return ends_an_emoji && next_is(is_pictograph);
        }
        // One joiner a letter: two would be a way to hide something.
        let after_a_letter = before == base || kind(before) == Kind::Mark;
        after_a_letter
            && match joiner {
                ZERO_WIDTH_JOINER => joins_onwards(base),
                _ => is_joining_letter(base) && next_is(is_joining_letter),
            }
    }

    fn varies(&self, selector: char, next: Option<char>) -> bool {
        let Some(before) = self.before() else { return false };
        let emoji = matches!(selector, '\u{FE0E}' | EMOJI_VARIANT)
            && has_emoji_variant(before)
            && (!before.is_ascii() || next == Some(KEYCAP));
        emoji || takes_variation(before, selector)
    }

    fn directs(&self, next: Option<char>) -> bool {
        let before_punctuation = next.is_none_or(|it| {
            matches!(kind(it), Kind::Space | Kind::LineEnd)
                || (kind(it) == Kind::Plain && !it.is_alphabetic())
        });
        match self.before() {
            Some(before) if before.is_alphabetic() || kind(before) != Kind::Plain => before_punctuation,
            // A mark of direction must not become the base of a combining mark after it. Of several in a row the last stays.
            _ => next.is_none_or(|it| matches!(kind(it), Kind::Plain | Kind::Space | Kind::LineEnd)),
        }
    }
}

#[cfg(test)]
#[path = "sanitize_tests.rs"]
mod tests;

//! What a character is to the sanitiser: the Unicode properties it asks for, by the names it uses.

use icu_properties::props::{
    BidiClass, BinaryProperty as _, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    EnumeratedProperty as _, ExtendedPictographic, GeneralCategory, Ideographic, JoiningType, Script,
};

/// Joins the emoji or the letters it stands between.
pub(super) const ZERO_WIDTH_JOINER: char = '\u{200D}';

/// Keeps the letters it stands between apart.
const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';

/// Asks for the colourful form of the character before it.
pub(super) const EMOJI_VARIANT: char = '\u{FE0F}';

/// The box of a keycap such as 1️⃣.
pub(super) const KEYCAP: char = '\u{20E3}';

/// The flag that tag characters name a region for, as in 🏴󠁧󠁢󠁥󠁮󠁧󠁿.
pub(super) const BLACK_FLAG: char = '\u{1F3F4}';

/// Ends the tags of a flag.
pub(super) const CANCEL_TAG: char = '\u{E007F}';

/// How much of a text a character may stay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Shows, and always stays.
    Plain,
    /// Belongs to the character before it; a bounded number stay.
    Mark,
    /// A space of any width, a tab.
    Space,
    /// Ends a line.
    LineEnd,
    /// U+200D or U+200C: stays where it changes how its neighbours look.
    Joiner,
    /// Chooses among the forms of the character before it, if that has more than one.
    Variation,
    /// Spells the region of a flag.
    Tag,
    /// An invisible mark of direction.
    Direction,
    /// Never stays.
    Refused,
}

/// The kind of a character.
pub(super) fn kind(it: char) -> Kind {
    match it {
        '!'..='~' => Kind::Plain,
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Kind::LineEnd,
        // Braille's empty cell is no white space to Unicode, but is nothing to the eye.
        '\u{2800}' => Kind::Space,
        it if it.is_whitespace() => Kind::Space,
        ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => Kind::Joiner,
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{180B}'..='\u{180D}' | '\u{180F}' => {
            Kind::Variation
        }
        '\u{E0020}'..='\u{E007F}' => Kind::Tag,
        '\u{200E}' | '\u{200F}' | '\u{61C}' => Kind::Direction,
        // Interlinear annotation, and the place an image had where the text was copied from.
        '\u{FFF9}'..='\u{FFFC}' => Kind::Refused,
        it if it.is_control() || is_noncharacter(it) || DefaultIgnorableCodePoint::for_char(it) => {
            Kind::Refused
        }
        it if is_mark(it) => Kind::Mark,
        _ => Kind::Plain,
    }
}

/// A letter of a script that is written from right to left.
pub(super) fn is_right_to_left_letter(it: char) -> bool {
    it >= '\u{590}'
        && it.is_alphabetic()
        && matches!(BidiClass::for_char(it), BidiClass::RightToLeft | BidiClass::ArabicLetter)
}

/// A letter that changes its form with the letter after it, as most Arabic ones.
pub(super) fn joins_onwards(it: char) -> bool {
    matches!(
        JoiningType::for_char(it),
        JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::JoinCausing
    )
}

/// A letter of a script whose letters join.
pub(super) fn is_joining_letter(it: char) -> bool {
    // A zero-width joiner also causes joining, but is no letter.
    it != ZERO_WIDTH_JOINER
        && !matches!(JoiningType::for_char(it), JoiningType::NonJoining | JoiningType::Transparent)
}

/// The sign that takes an Indic consonant its vowel.
pub(super) fn is_virama(it: char) -> bool {
    CanonicalCombiningClass::for_char(it) == CanonicalCombiningClass::Virama
}

/// A character that may take part in an emoji sequence.
pub(super) fn is_pictograph(it: char) -> bool {
    it > '~' && ExtendedPictographic::for_char(it)
}

/// One of the five skin tones.
pub(super) fn is_skin_tone(it: char) -> bool {
    EmojiModifier::for_char(it)
}

/// A character with a textual and a colourful form.
pub(super) fn has_emoji_variant(it: char) -> bool {
    Emoji::for_char(it)
}

/// Whether `base` may be followed by the variation selector `selector`, apart from emoji.
pub(super) fn takes_variation(base: char, selector: char) -> bool {
    match selector {
        '\u{E0100}'..='\u{E01EF}' => Ideographic::for_char(base),
        '\u{180B}'..='\u{180D}' | '\u{180F}' => Script::for_char(base) == Script::Mongolian && !is_mark(base),
        _ => {
            Ideographic::for_char(base)
                || (!base.is_ascii() && GeneralCategory::for_char(base) == GeneralCategory::MathSymbol)
                || matches!(Script::for_char(base), Script::Myanmar | Script::PhagsPa)
        }
    }
}

fn is_mark(it: char) -> bool {
    it >= '\u{300}'
        && matches!(
            GeneralCategory::for_char(it),
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
        )
}

fn is_noncharacter(it: char) -> bool {
    let code = u32::from(it);
    code & 0xFFFE == 0xFFFE || matches!(it, '\u{FDD0}'..='\u{FDEF}')
}

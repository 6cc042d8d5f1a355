//! Classifies characters for the sanitizer by their Unicode properties.

use icu_properties::props::{
    BidiClass, BinaryProperty as _, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    EnumeratedProperty as _, ExtendedPictographic, GeneralCategory, Ideographic, JoiningType, Script,
};

/// Joins the emoji or letters on its two sides.
pub(super) const ZERO_WIDTH_JOINER: char = '\u{200D}';

/// Prevents the letters on its two sides from joining.
const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';

/// Selects the emoji form of the character before it.
pub(super) const EMOJI_SELECTOR: char = '\u{FE0F}';

/// Selects the text form of the character before it.
pub(super) const TEXT_SELECTOR: char = '\u{FE0E}';

/// Makes a keycap such as 1️⃣ of the character before it.
pub(super) const COMBINING_KEYCAP: char = '\u{20E3}';

/// Forms the flag of a region with the tag characters after it, as in 🏴󠁧󠁢󠁥󠁮󠁧󠁿.
pub(super) const BLACK_FLAG: char = '\u{1F3F4}';

/// Ends the tag characters of a flag.
pub(super) const CANCEL_TAG: char = '\u{E007F}';

/// Decides under which condition a character stays in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CharClass {
    /// A visible character, which always stays.
    Visible,
    /// A mark on the character before it. A limited number stays.
    CombiningMark,
    /// A space of any width, or a tab.
    Space,
    LineBreak,
    /// U+200D or U+200C. Stays where it changes how its neighbours look.
    Joiner,
    /// Selects a form of the character before it. Stays if the character has more than one.
    VariationSelector,
    /// A letter in the name of a region. Stays after a black flag.
    Tag,
    /// An invisible mark of text direction.
    DirectionMark,
    /// Never stays.
    Forbidden,
}

impl CharClass {
    pub(super) fn from_char(character: char) -> Self {
        match character {
            '!'..='~' => Self::Visible,
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Self::LineBreak,
            // The empty Braille cell is not white space in Unicode, but it looks blank.
            '\u{2800}' => Self::Space,
            _ if character.is_whitespace() => Self::Space,
            ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => Self::Joiner,
            '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{180B}'..='\u{180D}' | '\u{180F}' => {
                Self::VariationSelector
            }
            '\u{E0020}'..='\u{E007F}' => Self::Tag,
            '\u{200E}' | '\u{200F}' | '\u{61C}' => Self::DirectionMark,
            // Interlinear annotations, and the placeholder of an image in copied text.
            '\u{FFF9}'..='\u{FFFC}' => Self::Forbidden,
            _ if character.is_control()
                || is_noncharacter(character)
                || DefaultIgnorableCodePoint::for_char(character) =>
            {
                Self::Forbidden
            }
            _ if is_combining_mark(character) => Self::CombiningMark,
            _ => Self::Visible,
        }
    }
}

/// Returns true for a letter of a script that is written from right to left.
pub(super) fn is_right_to_left_letter(character: char) -> bool {
    character >= '\u{590}'
        && character.is_alphabetic()
        && matches!(BidiClass::for_char(character), BidiClass::RightToLeft | BidiClass::ArabicLetter)
}

/// Returns true for a letter whose form depends on the next letter, as for most Arabic letters.
pub(super) fn joins_next_letter(character: char) -> bool {
    matches!(
        JoiningType::for_char(character),
        JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::JoinCausing
    )
}

/// Returns true for a letter of a script whose letters join.
pub(super) fn is_joining_letter(character: char) -> bool {
    // A zero-width joiner also has a joining type, but is not a letter.
    character != ZERO_WIDTH_JOINER
        && !matches!(JoiningType::for_char(character), JoiningType::NonJoining | JoiningType::Transparent)
}

/// Returns true for a sign that removes the vowel of an Indic consonant.
pub(super) fn is_virama(character: char) -> bool {
    CanonicalCombiningClass::for_char(character) == CanonicalCombiningClass::Virama
}

/// Returns true for a character that can be part of an emoji sequence.
pub(super) fn is_pictograph(character: char) -> bool {
    character > '~' && ExtendedPictographic::for_char(character)
}

/// Returns true for one of the five skin tones.
pub(super) fn is_skin_tone(character: char) -> bool {
    EmojiModifier::for_char(character)
}

/// Returns true for a character that has a text form and an emoji form.
pub(super) fn has_emoji_form(character: char) -> bool {
    Emoji::for_char(character)
}

/// Returns true if the selector can select a form of the character, apart from emoji forms.
pub(super) fn has_variation(character: char, selector: char) -> bool {
    match selector {
        '\u{E0100}'..='\u{E01EF}' => Ideographic::for_char(character),
        '\u{180B}'..='\u{180D}' | '\u{180F}' => {
            Script::for_char(character) == Script::Mongolian && !is_combining_mark(character)
        }
        _ => {
            Ideographic::for_char(character)
                || (!character.is_ascii()
                    && GeneralCategory::for_char(character) == GeneralCategory::MathSymbol)
                || matches!(Script::for_char(character), Script::Myanmar | Script::PhagsPa)
        }
    }
}

fn is_combining_mark(character: char) -> bool {
    character >= '\u{300}'
        && matches!(
            GeneralCategory::for_char(character),
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
        )
}

fn is_noncharacter(character: char) -> bool {
    u32::from(character) & 0xFFFE == 0xFFFE || matches!(character, '\u{FDD0}'..='\u{FDEF}')
}

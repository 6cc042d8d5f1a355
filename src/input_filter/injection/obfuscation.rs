//! Maps disguised characters to the plain letters that they stand for.

use icu_properties::props::{
    BinaryProperty as _, DefaultIgnorableCodePoint, EnumeratedProperty as _, LineBreak,
};
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// The maximum number of letters that a character is decomposed to.
///
/// Ligatures have at most three letters. One Arabic character decomposes to a phrase of eighteen,
/// which would multiply the work for a text.
const MAX_LETTERS: usize = 4;

/// Calls `emit` with each plain lower-case letter that the character looks like: none for marks and
/// invisible characters, several for ligatures. Invisible tag characters count as the ASCII
/// characters they encode.
pub(super) fn for_each_plain_letter(character: char, mut emit: impl FnMut(char)) {
    if character.is_ascii() {
        return emit(character.to_ascii_lowercase());
    }
    if let Some(ascii) = tag_to_ascii(character) {
        return emit(ascii.to_ascii_lowercase());
    }
    if DefaultIgnorableCodePoint::for_char(character) {
        return;
    }
    let mut letters = 0;
    decompose_compatible(character, |part| {
        letters += 1;
        if letters <= MAX_LETTERS && !is_combining_mark(part) {
            part.to_lowercase().filter(|letter| !is_combining_mark(*letter)).for_each(&mut emit);
        }
    });
}

/// Returns the ASCII character that an invisible tag character encodes.
pub(super) fn tag_to_ascii(character: char) -> Option<char> {
    matches!(character, '\u{E0020}'..='\u{E007E}')
        .then(|| char::from_u32(u32::from(character) - 0xE0000))
        .flatten()
}

/// Returns true for a letter or digit in a mathematical, enclosed or full-width form, which looks
/// like ASCII.
pub(super) fn is_styled_letter(character: char) -> bool {
    matches!(
        character,
        '\u{1D400}'..='\u{1D7FF}' | '\u{1F130}'..='\u{1F189}' | '\u{FF21}'..='\u{FF5A}' | '\u{24B6}'..='\u{24E9}'
    )
}

/// Returns true for a character of a script without spaces between words. It counts as one word.
pub(super) fn is_standalone_word(character: char) -> bool {
    character >= '\u{2E80}'
        && matches!(
            LineBreak::for_char(character),
            LineBreak::Ideographic | LineBreak::ConditionalJapaneseStarter | LineBreak::Nonstarter
        )
}

/// Returns the Latin letter that a Cyrillic or Greek letter looks like.
pub(super) const fn homoglyph_to_latin(character: char) -> Option<char> {
    Some(match character {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'є' | 'ε' => 'e',
        'һ' | 'н' => 'h',
        'і' | 'ї' | 'ι' | 'ı' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'п' | 'η' => 'n',
        'о' | 'ο' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ц' => 'u',
        'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        _ => return None,
    })
}

/// Returns true for a digit or sign that can replace a letter in leetspeak.
pub(super) const fn is_leet(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '@' | '$')
}

/// Returns the letter that a leetspeak character replaces, as in `1gn0r3`. `letter_for_one` is the
/// letter for `1`, which can be i or l.
pub(super) const fn leet_to_letter(character: char, letter_for_one: char) -> char {
    match character {
        '0' => 'o',
        '1' => letter_for_one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        other => other,
    }
}

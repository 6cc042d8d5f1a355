//! Seeing through letters that stand for other letters.

use icu_properties::props::{
    BinaryProperty as _, DefaultIgnorableCodePoint, EnumeratedProperty as _, LineBreak,
};
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Letters that are taken of one character. Real ligatures have at most three; one Arabic sign is a sentence of eighteen
/// and would make the work on a text eighteen times its length.
const MOST_LETTERS: usize = 4;

/// Calls `emit` with the plain lower-case letters `it` shows as: none for marks and invisible characters, several for
/// ligatures. Tags, which nobody sees, are read as the ASCII they repeat.
pub(super) fn plain_letters(it: char, mut emit: impl FnMut(char)) {
    if it.is_ascii() {
        return emit(it.to_ascii_lowercase());
    }
    if let Some(hidden) = hidden_tag(it) {
        return emit(hidden.to_ascii_lowercase());
    }
    if DefaultIgnorableCodePoint::for_char(it) {
        return;
    }
    let mut letters = 0;
    decompose_compatible(it, |part| {
        letters += 1;
        if letters <= MOST_LETTERS && !is_combining_mark(part) {
            part.to_lowercase().filter(|it| !is_combining_mark(*it)).for_each(&mut emit);
        }
    });
}

/// The ASCII character a tag repeats.
pub(super) fn hidden_tag(it: char) -> Option<char> {
    matches!(it, '\u{E0020}'..='\u{E007E}').then(|| char::from_u32(u32::from(it) - 0xE0000)).flatten()
}

/// A letter or digit of an alphabet made for formulas or wide columns, which shows as ASCII without being it.
pub(super) fn is_styled_letter(it: char) -> bool {
    matches!(it, '\u{1D400}'..='\u{1D7FF}' | '\u{1F130}'..='\u{1F189}' | '\u{FF21}'..='\u{FF5A}' | '\u{24B6}'..='\u{24E9}')
}

/// A character that is a word by itself, in scripts that put no spaces between words.
pub(super) fn is_own_word(it: char) -> bool {
    it >= '\u{2E80}'
        && matches!(
            LineBreak::for_char(it),
            LineBreak::Ideographic | LineBreak::ConditionalJapaneseStarter | LineBreak::Nonstarter
        )
}

/// The Latin letter a Cyrillic or Greek one is drawn like.
pub(super) const fn latin_lookalike(it: char) -> Option<char> {
    Some(match it {
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

/// The letter a digit or sign stands for in `1gn0r3`; `one` is what 1 stands for, since it is both i and l.
pub(super) const fn leet_letter(it: char, one: char) -> char {
    match it {
        '0' => 'o',
        '1' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        other => other,
    }
}

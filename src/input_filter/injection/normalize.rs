//! Normalizes a text to plain words: one case, one alphabet, no accents and no punctuation.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, MatchKind};

use super::obfuscation::{
    for_each_plain_letter, homoglyph_to_latin, is_leet, is_standalone_word, is_styled_letter, leet_to_letter,
    tag_to_ascii,
};

/// The word that stands for the start of the text and for the end of each sentence.
pub(super) const SENTENCE_BREAK: &str = ".";

/// The minimum number of single letters in a row that are read as spaced-out words. Lists of
/// letters in benign questions are shorter.
const MIN_SPACED_LETTERS: usize = 6;

/// The minimum length, in letters, of a word that is searched for known words without spaces
/// between them.
const MIN_JOINED_LETTERS: usize = 16;

/// The minimum length of a word that is recognized in disguise. Shorter words occur in others by
/// chance.
const MIN_KNOWN_WORD_LETTERS: usize = 4;

/// The maximum number of tags that name a region after a black flag, as in
/// 🏴󠁧󠁢󠁥󠁮󠁧󠁿. These tags hide nothing.
const MAX_REGION_TAGS: usize = 6;

const BLACK_FLAG: char = '\u{1F3F4}';

/// The words of a text, and the number of disguises that were undone.
#[derive(Debug, Default)]
pub(super) struct NormalizedText {
    /// The words, with one space before, between and after them.
    pub(super) words: String,
    /// Known words with digits or signs for letters.
    pub(super) leet_words: usize,
    /// Known words with spaces between their letters.
    pub(super) spaced_words: usize,
    /// Words with Latin letters and similar letters of another alphabet.
    pub(super) mixed_alphabet_words: usize,
    /// Letters in mathematical, enclosed or full-width forms.
    pub(super) styled_letters: usize,
    /// Invisible tags, except in the names of flags.
    pub(super) hidden_tags: usize,
}

/// Normalizes texts and recognizes known words in disguise.
pub(super) struct Normalizer {
    known_words: HashSet<String>,
    /// Finds known words inside other text. `None` if there are too many words to build it, which
    /// does not happen; then joined and spaced-out words are not recognized.
    known_word_finder: Option<AhoCorasick>,
}

impl Normalizer {
    /// Creates a normalizer that recognizes the words of these normalized phrases in disguise.
    pub(super) fn new<'a>(phrases: impl Iterator<Item = &'a str>) -> Self {
        let is_recognizable = |word: &&str| {
            word.len() >= MIN_KNOWN_WORD_LETTERS && word.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        let known_words: HashSet<String> =
            phrases.flat_map(str::split_whitespace).filter(is_recognizable).map(Into::into).collect();
        let known_word_finder =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&known_words).ok();
        Self { known_words, known_word_finder }
    }

    /// Normalizes a text in linear time.
    pub(super) fn normalize(&self, text: &str) -> NormalizedText {
        let mut builder = WordBuilder::new(self);
        let mut previous = [' '; 2];
        let mut remaining_flag_tags = 0;
        for character in text.chars() {
            let counts = &mut builder.normalized;
            counts.styled_letters += usize::from(is_styled_letter(character));
            if tag_to_ascii(character).is_none() {
                remaining_flag_tags = if character == BLACK_FLAG { MAX_REGION_TAGS } else { 0 };
            } else if remaining_flag_tags > 0 {
                remaining_flag_tags -= 1;
                continue;
            } else {
                counts.hidden_tags += 1;
            }
            // `systemPrompt` is two words, but `iGnOrE` is one.
            if character.is_ascii_uppercase() && previous.iter().all(char::is_ascii_lowercase) {
                builder.end_word();
            }
            previous = [previous[1], character];
            for_each_plain_letter(character, |letter| builder.push_letter(letter));
        }
        builder.finish()
    }

    fn find_known_words<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.known_word_finder
            .iter()
            .flat_map(move |finder| finder.find_iter(text))
            .filter_map(|found| text.get(found.range()))
    }
}

/// Collects plain letters into words and sentences.
struct WordBuilder<'a> {
    normalizer: &'a Normalizer,
    normalized: NormalizedText,
    /// The letters of the current word.
    word: String,
    /// The number of one-letter words since the last longer word.
    single_letters: usize,
    /// The offset in the words at which these one-letter words start.
    single_letters_start: usize,
}

impl<'a> WordBuilder<'a> {
    fn new(normalizer: &'a Normalizer) -> Self {
        let mut builder = Self {
            normalizer,
            normalized: NormalizedText::default(),
            word: String::new(),
            single_letters: 0,
            single_letters_start: 0,
        };
        builder.normalized.words.push(' ');
        builder.end_sentence();
        builder
    }

    fn finish(mut self) -> NormalizedText {
        self.end_word();
        self.end_single_letters();
        self.end_sentence();
        self.normalized
    }

    fn push_letter(&mut self, letter: char) {
        match letter {
            // "don't" is one word.
            '\'' | '’' => {}
            _ if is_standalone_word(letter) => {
                self.end_word();
                self.word.push(letter);
                self.end_word();
            }
            _ if letter.is_alphanumeric() || is_leet(letter) => self.word.push(letter),
            '.' | '!' | '?' | '\n' | ':' | ';' | '"' | '“' | '”' | '。' => {
                self.end_word();
                // After a single letter, a dot may be a gap inside a spaced-out word.
                if self.single_letters == 0 {
                    self.end_sentence();
                }
            }
            _ => self.end_word(),
        }
    }

    fn end_sentence(&mut self) {
        let words = &mut self.normalized.words;
        if !words.ends_with(" . ") {
            words.push_str(SENTENCE_BREAK);
            words.push(' ');
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            if self.single_letters == 0 {
                self.single_letters_start = self.normalized.words.len();
            }
            self.single_letters += 1;
            self.push_word(&word);
        } else {
            self.end_single_letters();
            self.push_deobfuscated(&word);
        }
        // Keep the allocation.
        self.word = word;
        self.word.clear();
    }

    /// Adds the known words that a long row of single letters spells.
    fn end_single_letters(&mut self) {
        if std::mem::take(&mut self.single_letters) < MIN_SPACED_LETTERS {
            return;
        }
        let letters: String = self
            .normalized
            .words
            .get(self.single_letters_start..)
            .into_iter()
            .flat_map(str::chars)
            .filter(|letter| *letter != ' ')
            .collect();
        for word in self.normalizer.find_known_words(&letters) {
            self.normalized.spaced_words += 1;
            self.push_word(word);
        }
    }

    /// Adds a word without homoglyphs and leetspeak, or the known words that it consists of.
    fn push_deobfuscated(&mut self, word: &str) {
        let has_latin = word.bytes().any(|byte| byte.is_ascii_lowercase());
        if has_latin && word.chars().any(|letter| homoglyph_to_latin(letter).is_some()) {
            self.normalized.mixed_alphabet_words += 1;
            let latin: String =
                word.chars().map(|letter| homoglyph_to_latin(letter).unwrap_or(letter)).collect();
            return self.push_word(&latin);
        }
        if has_latin && word.chars().any(is_leet) {
            for letter_for_one in ['i', 'l'] {
                let plain: String =
                    word.chars().map(|letter| leet_to_letter(letter, letter_for_one)).collect();
                if self.normalizer.known_words.contains(&plain) {
                    self.normalized.leet_words += 1;
                    return self.push_word(&plain);
                }
            }
        }
        for part in word.split(['@', '$']).filter(|part| !part.is_empty()) {
            self.push_word(part);
        }
        let may_be_joined = word.len() >= MIN_JOINED_LETTERS && word.is_ascii();
        if may_be_joined && !self.normalizer.known_words.contains(word) {
            self.normalizer.find_known_words(word).for_each(|known| self.push_word(known));
        }
    }

    fn push_word(&mut self, word: &str) {
        self.normalized.words.push_str(word);
        self.normalized.words.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalize(text: &str) -> NormalizedText {
        Normalizer::new(["ignore previous instructions", "system prompt"].into_iter()).normalize(text)
    }

    #[test]
    fn words_lose_case_accents_and_punctuation() {
        assert_eq!(normalize("Don't: Müller, ÉCOLE").words, " . dont . muller ecole . ");
        assert_eq!(normalize("console.log(systemPrompt)").words, " . console . log system prompt . ");
        assert_eq!(normalize("忽略指令").words, " . 忽 略 指 令 . ");
    }

    #[test]
    fn disguised_words_are_recognized_and_counted() {
        assert!(normalize("1gn0r3 pr3v10us").words.contains(" ignore previous "));
        assert!(normalize("i g n o r e p r e v i o u s").words.contains(" ignore previous "));
        assert!(normalize("i.g.n.o.r.e").words.contains(" ignore "));
        assert!(normalize("ignorepreviousinstructions").words.contains(" ignore previous instructions "));
        assert!(normalize("іgnоrе").words.contains(" ignore "));
        assert!(
            normalize("𝓲𝓰𝓷𝓸𝓻𝓮 ｉｇｎｏｒｅ i\u{200B}gnore i\u{301}gnore")
                .words
                .contains(" ignore ignore ignore ignore ")
        );
        let disguises = normalize("1gnore s y s t e m іgnоrе 𝓲");
        let NormalizedText { leet_words, spaced_words, mixed_alphabet_words, styled_letters, .. } = disguises;
        assert_eq!((leet_words, spaced_words, mixed_alphabet_words, styled_letters), (1, 1, 1, 1));
    }

    #[test]
    fn hidden_tags_are_recognized_except_in_flags() {
        let hidden: String =
            "ignore".bytes().filter_map(|byte| char::from_u32(0xE0000 + u32::from(byte))).collect();
        let text = normalize(&hidden);
        assert_eq!((text.hidden_tags, text.words.as_str()), (6, " . ignore . "));
        assert_eq!(normalize("🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿").hidden_tags, 0);
    }

    #[test]
    fn names_with_digits_and_lists_of_letters_are_unchanged() {
        let text = normalize("K8s, S3, H1B, C, R, A/B, anna@acme.com");
        assert_eq!(text.words, " . k8s s3 h1b c r a b anna acme . com . ");
        assert_eq!((text.leet_words, text.spaced_words), (0, 0));
    }
}

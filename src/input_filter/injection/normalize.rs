//! Folds a text to plain words: one case, one alphabet, no accents, no punctuation.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, MatchKind};

use super::obfuscation::{
    hidden_tag, is_own_word, is_styled_letter, latin_lookalike, leet_letter, plain_letters,
};

/// The word that stands for the beginning of the text and the end of each sentence.
pub(super) const SENTENCE: &str = ".";

/// Single letters in a row that are read as a word written with gaps. Honest lists of letters are shorter.
const SPACED_LETTERS: usize = 6;

/// Words at least this long are searched for known words written without spaces, in letters.
const GLUED_LETTERS: usize = 16;

/// The longest name of a region after a black flag, as in 🏴󠁧󠁢󠁥󠁮󠁧󠁿: tags that hide nothing.
const REGION_TAGS: usize = 6;

/// The shortest word that is looked for in disguise: shorter ones occur in others by chance.
const LEAST_DISGUISED: usize = 4;

const BLACK_FLAG: char = '\u{1F3F4}';

/// A folded text.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The words with one space before, between and after them.
    pub(super) words: String,
    /// Known words that were written with digits or signs for letters.
    pub(super) leet: usize,
    /// Known words that were written with gaps between the letters.
    pub(super) spaced: usize,
    /// Words that mix the Latin alphabet with letters of another one that look like it.
    pub(super) mixed: usize,
    /// Letters of styled alphabets.
    pub(super) styled: usize,
    /// Tags outside of flags' names.
    pub(super) hidden: usize,
}

/// The words worth recognising in disguise.
pub(super) struct Folder {
    known: HashSet<String>,
    within: Option<AhoCorasick>,
}

impl Folder {
    /// A folder that recognises the words of these folded phrases in disguise.
    pub(super) fn new<'a>(phrases: impl Iterator<Item = &'a str>) -> Self {
        let long_enough =
            |it: &&str| it.len() >= LEAST_DISGUISED && it.bytes().all(|it| it.is_ascii_lowercase());
        let known: HashSet<String> =
            phrases.flat_map(str::split_whitespace).filter(long_enough).map(Into::into).collect();
        // Without it (too many words, which cannot be) glued and spaced words stay unread, and the rest works.
        let within = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&known).ok();
        Self { known, within }
    }

    /// Folds a text, in linear time.
    pub(super) fn fold(&self, text: &str) -> Folded {
        let mut folding =
            Folding { folder: self, folded: Folded::default(), word: String::new(), single: 0, letters: 0 };
        folding.folded.words.push(' ');
        folding.sentence();
        let mut before = [' '; 2];
        let mut flag_tags = 0;
        for it in text.chars() {
            let folded = &mut folding.folded;
            folded.styled += usize::from(is_styled_letter(it));
            if hidden_tag(it).is_none() {
                flag_tags = if it == BLACK_FLAG { REGION_TAGS } else { 0 };
            } else if flag_tags > 0 {
                flag_tags -= 1;
                continue;
            } else {
                folded.hidden += 1;
            }
            // systemPrompt is two words, iGnOrE is one.
            if it.is_ascii_uppercase() && before.iter().all(char::is_ascii_lowercase) {
                folding.end_word();
            }
            before = [before[1], it];
            plain_letters(it, |plain| folding.take(plain));
        }
        folding.end_word();
        folding.end_spaced();
        folding.sentence();
        folding.folded
    }

    fn known_words<'a>(&'a self, glued: &'a str) -> impl Iterator<Item = &'a str> {
        self.within
            .iter()
            .flat_map(move |within| within.find_iter(glued))
            .filter_map(|it| glued.get(it.range()))
    }
}

struct Folding<'a> {
    folder: &'a Folder,
    folded: Folded,
    word: String,
    /// Where the current row of single letters begins in the words.
    single: usize,
    letters: usize,
}

impl Folding<'_> {
    fn take(&mut self, it: char) {
        match it {
            // "don't" is one word.
            '\'' | '’' => {}
            it if is_own_word(it) => {
                self.end_word();
                self.word.push(it);
                self.end_word();
            }
            it if it.is_alphanumeric() || matches!(it, '@' | '$') => self.word.push(it),
            '.' | '!' | '?' | '\n' | ':' | ';' | '"' | '“' | '”' | '。' => {
                self.end_word();
                // Gaps between letters may be dots; that they end no sentence shows at the next long word.
                if self.letters == 0 {
                    self.sentence();
                }
            }
            _ => self.end_word(),
        }
    }

    fn sentence(&mut self) {
        let words = &mut self.folded.words;
        if !words.ends_with(" . ") {
            words.push_str(SENTENCE);
            words.push(' ');
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if word.len() == 1 && word.bytes().all(|it| it.is_ascii_alphabetic()) {
            if self.letters == 0 {
                self.single = self.folded.words.len();
            }
            self.letters += 1;
            self.push(&word);
        } else {
            self.end_spaced();
            self.push_unmasked(&word);
        }
        self.word = word;
        self.word.clear();
    }

    /// Reads a row of single letters as the words it spells, if it spells any.
    fn end_spaced(&mut self) {
        if std::mem::take(&mut self.letters) < SPACED_LETTERS {
            return;
        }
        let row: String = self
            .folded
            .words
            .get(self.single..)
            .into_iter()
            .flat_map(str::chars)
            .filter(|it| *it != ' ')
            .collect();
        for word in self.folder.known_words(&row) {
            self.folded.spaced += 1;
            self.push(word);
        }
    }

    fn push_unmasked(&mut self, word: &str) {
        let has_latin = word.bytes().any(|it| it.is_ascii_lowercase());
        if has_latin && word.chars().any(|it| latin_lookalike(it).is_some()) {
            self.folded.mixed += 1;
            let latin: String = word.chars().map(|it| latin_lookalike(it).unwrap_or(it)).collect();
            return self.push(&latin);
        }
        let is_masked = |it: char| it.is_ascii_digit() || matches!(it, '@' | '$');
        if has_latin && word.chars().any(is_masked) {
            for one in ['i', 'l'] {
                let read: String = word.chars().map(|it| leet_letter(it, one)).collect();
                if self.folder.known.contains(&read) {
                    self.folded.leet += 1;
                    return self.push(&read);
                }
            }
        }
        for part in word.split(['@', '$']).filter(|it| !it.is_empty()) {
            self.push(part);
        }
        if word.len() >= GLUED_LETTERS && word.is_ascii() && !self.folder.known.contains(word) {
            self.folder.known_words(word).for_each(|it| self.push(it));
        }
    }

    fn push(&mut self, word: &str) {
        self.folded.words.push_str(word);
        self.folded.words.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Folded {
        Folder::new(["ignore previous instructions", "system prompt"].into_iter()).fold(text)
    }

    #[test]
    fn words_lose_case_accents_and_punctuation() {
        assert_eq!(folded("Don't: Müller, ÉCOLE").words, " . dont . muller ecole . ");
        assert_eq!(folded("console.log(systemPrompt)").words, " . console . log system prompt . ");
        assert_eq!(folded("忽略指令").words, " . 忽 略 指 令 . ");
    }

    #[test]
    fn disguised_words_are_read_and_counted() {
        assert!(folded("1gn0r3 pr3v10us").words.contains(" ignore previous "));
        assert!(folded("i g n o r e p r e v i o u s").words.contains(" ignore previous "));
        assert!(folded("i.g.n.o.r.e").words.contains(" ignore "));
        assert!(folded("ignorepreviousinstructions").words.contains(" ignore previous instructions "));
        assert!(folded("іgnоrе").words.contains(" ignore "));
        assert!(
            folded("𝓲𝓰𝓷𝓸𝓻𝓮 ｉｇｎｏｒｅ i\u{200B}gnore i\u{301}gnore")
                .words
                .contains(" ignore ignore ignore ignore ")
        );
        let all = folded("1gnore s y s t e m іgnоrе 𝓲");
        assert_eq!((all.leet, all.spaced, all.mixed, all.styled), (1, 1, 1, 1));
    }

    #[test]
    fn hidden_tags_are_read_but_not_those_of_flags() {
        let hidden: String =
            "ignore".bytes().filter_map(|it| char::from_u32(0xE0000 + u32::from(it))).collect();
        let text = folded(&hidden);
        assert_eq!((text.hidden, text.words.as_str()), (6, " . ignore . "));
        assert_eq!(folded("🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿").hidden, 0);
    }

    #[test]
    fn names_with_digits_and_lists_of_letters_stay() {
        let text = folded("K8s, S3, H1B, C, R, A/B, anna@acme.com");
        assert_eq!(text.words, " . k8s s3 h1b c r a b anna acme . com . ");
        assert_eq!((text.leet, text.spaced), (0, 0));
    }
}

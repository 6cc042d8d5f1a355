//! Answers without a model: quotes the resume passages that match a question best.

use std::collections::HashSet;

use bm25::{DefaultTokenizer, Document as Indexed, Language, SearchEngine, SearchEngineBuilder, Tokenizer};

use crate::resume::{Document, Section};

/// The maximum size of a passage. Longer sections are divided at line ends.
const MAX_PASSAGE_BYTES: usize = 500;

/// The maximum number of passages in one answer.
const MAX_QUOTES: usize = 3;

/// A passage is quoted only if its score is at least this share of the best score.
const MIN_SCORE_SHARE: f32 = 0.55;

/// A passage is quoted only if it contains at least this share of the question's words; fewer words
/// match by chance.
const MIN_WORD_SHARE: f32 = 0.34;

/// Words that visitors use for a section of a resume, as stems. A question that contains one of
/// `words` also matches the sections whose title contains one of `titles`.
struct SectionSynonyms {
    words: &'static [&'static str],
    titles: &'static [&'static str],
}

const SECTION_SYNONYMS: [SectionSynonyms; 6] = [
    SectionSynonyms {
        words: &["job", "career", "employ", "employe", "compani", "posit", "role"],
        titles: &["experi", "employ", "work"],
    },
    SectionSynonyms {
        words: &["studi", "degre", "univers", "colleg", "school", "graduat"],
        titles: &["educ"],
    },
    SectionSynonyms {
        words: &["technolog", "tool", "framework", "stack", "know", "good"],
        titles: &["skill"],
    },
    SectionSynonyms { words: &["speak", "fluent"], titles: &["languag"] },
    SectionSynonyms { words: &["certif", "licens"], titles: &["certif"] },
    SectionSynonyms {
        words: &["reach", "email", "phone", "contact", "live", "base"],
        titles: &["about", "contact"],
    },
];

/// A full-text index of a resume.
pub struct Excerpts {
    name: String,
    /// The titles of the top-level sections.
    titles: Vec<String>,
    passages: Vec<Passage>,
    tokenizer: DefaultTokenizer,
    engine: SearchEngine<usize>,
    /// The words of the person's name. They are ignored in questions, because they match every
    /// passage.
    name_words: HashSet<String>,
}

/// An answer that quotes the resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcerptAnswer {
    pub text: String,
    /// The titles of the quoted sections.
    pub citations: Vec<String>,
}

struct Passage {
    title: String,
    text: String,
    words: HashSet<String>,
}

impl std::fmt::Debug for Excerpts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excerpts").field("passages", &self.passages.len()).finish_non_exhaustive()
    }
}

impl Excerpts {
    /// Indexes a resume.
    #[must_use]
    pub fn new(resume: &Document) -> Self {
        let tokenizer = DefaultTokenizer::new(Language::English);
        let passages: Vec<Passage> = with_full_titles(&resume.sections)
            .flat_map(|(title, section)| {
                split_passages(&section.text)
                    .into_iter()
                    .map(move |text| (title.clone(), text))
                    .collect::<Vec<_>>()
            })
            .map(|(title, text)| {
                let words = tokenizer.tokenize(&format!("{title}\n{text}")).into_iter().collect();
                Passage { title, text, words }
            })
            .collect();
        let indexed = passages
            .iter()
            .enumerate()
            .map(|(number, passage)| Indexed::new(number, format!("{}\n{}", passage.title, passage.text)));
        let engine =
            SearchEngineBuilder::with_documents(Language::English, indexed.collect::<Vec<_>>()).build();
        let top_level = resume.sections.iter().filter(|section| section.level == 1);
        let titles = top_level.map(|section| section.title.clone()).collect();
        let name_words = tokenizer.tokenize(&resume.name).into_iter().collect();
        Self { name: resume.name.clone(), titles, passages, tokenizer, engine, name_words }
    }

    /// Answers a question with the passages that match it best.
    #[must_use]
    pub fn answer(&self, question: &str) -> ExcerptAnswer {
        let passages = self.find(question);
        let text = if passages.is_empty() { self.topics_answer() } else { quote(&passages) };
        let mut citations: Vec<String> = passages.iter().map(|passage| passage.title.clone()).collect();
        citations.dedup();
        ExcerptAnswer { text, citations }
    }

    fn find(&self, question: &str) -> Vec<&Passage> {
        let words = self.tokenizer.tokenize(question).into_iter();
        let words: HashSet<String> = words.filter(|word| !self.name_words.contains(word)).collect();
        let passages = self.find_by_words(question, &words);
        if passages.is_empty() { self.find_by_synonyms(&words) } else { passages }
    }

    /// Finds the sections whose titles are synonyms of words of the question, in the resume's
    /// order, which lists the newest first.
    fn find_by_synonyms(&self, question_words: &HashSet<String>) -> Vec<&Passage> {
        let title_words: HashSet<&str> = SECTION_SYNONYMS
            .iter()
            .filter(|synonyms| synonyms.words.iter().any(|word| question_words.contains(*word)))
            .flat_map(|synonyms| synonyms.titles.iter().copied())
            .collect();
        let has_title_word = |passage: &&Passage| {
            self.tokenizer.tokenize(&passage.title).iter().any(|word| title_words.contains(word.as_str()))
        };
        self.passages.iter().filter(has_title_word).take(MAX_QUOTES).collect()
    }

    fn find_by_words(&self, question: &str, question_words: &HashSet<String>) -> Vec<&Passage> {
        let results = self.engine.search(question, MAX_QUOTES * 4);
        let relevant = results.iter().filter_map(|result| {
            let passage = self.passages.get(result.document.id)?;
            let shared = to_f32(question_words.intersection(&passage.words).count());
            (shared > 0.0 && shared >= MIN_WORD_SHARE * to_f32(question_words.len()))
                .then_some((result.score, passage))
        });
        let mut scored: Vec<(f32, &Passage)> = relevant.collect();
        let best = scored.first().map_or(0.0, |(score, _)| *score);
        scored.retain(|(score, _)| *score >= best * MIN_SCORE_SHARE);
        scored.into_iter().map(|(_, passage)| passage).take(MAX_QUOTES).collect()
    }

    /// Returns the answer to a question that no passage matches.
    fn topics_answer(&self) -> String {
        let topics =
            self.titles.iter().take(8).map(|title| format!("- {title}")).collect::<Vec<_>>().join("\n");
        format!(
            "The resume of {} does not seem to answer that. It covers these topics:\n\n{topics}\n",
            self.name
        )
    }
}

fn quote(passages: &[&Passage]) -> String {
    let quotes = passages.iter().map(|passage| {
        let lines = passage.text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n");
        format!("**{}**\n\n{lines}", passage.title)
    });
    quotes.collect::<Vec<_>>().join("\n\n")
}

/// Returns each section that has text, with its title preceded by the titles of its parents.
fn with_full_titles(sections: &[Section]) -> impl Iterator<Item = (String, &Section)> {
    let mut path: Vec<(u8, &str)> = Vec::new();
    sections.iter().filter_map(move |section| {
        path.retain(|(level, _)| *level < section.level);
        path.push((section.level, &section.title));
        let title = path.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(" › ");
        (!section.text.trim().is_empty()).then_some((title, section))
    })
}

/// Divides a section's text into passages of whole lines.
fn split_passages(text: &str) -> Vec<String> {
    let mut passages: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match passages.last_mut() {
            Some(last) if last.len() + line.len() < MAX_PASSAGE_BYTES => {
                last.push('\n');
                last.push_str(line);
            }
            _ => passages.push(line.to_owned()),
        }
    }
    passages
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a question has few words")]
fn to_f32(words: usize) -> f32 {
    words as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpts() -> Excerpts {
        let section =
            |title: &str, level, text: &str| Section { title: title.into(), level, text: text.into() };
        Excerpts::new(&Document {
            name: "Ada Example".into(),
            sections: vec![
                section("Experience", 1, ""),
                section("Engineer at Acme (2019–2023)", 2, "- Built the billing system in Rust"),
                section("Intern at Globex (2018)", 2, "- Wrote reports in Python"),
                section("Languages", 1, "English, French and Dutch"),
            ],
        })
    }

    fn titles(question: &str) -> Vec<String> {
        excerpts().find(question).iter().map(|passage| passage.title.clone()).collect()
    }

    #[test]
    fn best_matching_passage_comes_first() {
        assert_eq!(titles("What did Ada do at Acme?"), ["Experience › Engineer at Acme (2019–2023)"]);
        assert_eq!(titles("Which languages does she speak?"), ["Languages"]);
    }

    #[test]
    fn synonyms_find_the_section_they_stand_for() {
        let jobs = ["Experience › Engineer at Acme (2019–2023)", "Experience › Intern at Globex (2018)"];
        assert_eq!(titles("What was her last job?"), jobs);
        assert_eq!(titles("Which companies were her employers?"), jobs);
    }

    #[test]
    fn question_without_a_match_quotes_nothing() {
        assert!(titles("What is the capital of Peru?").is_empty());
        assert!(titles("Ada?").is_empty());
        assert!(titles("").is_empty());
        assert!(excerpts().topics_answer().contains("- Languages"));
    }
}

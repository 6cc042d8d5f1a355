//! Answers without a model: the passages of the resume that match a question best, quoted.

use std::collections::HashSet;
use std::time::Duration;

use bm25::{DefaultTokenizer, Document as Indexed, Language, SearchEngine, SearchEngineBuilder, Tokenizer};

use crate::domain::turn::TurnStatus;
use crate::llm::prompt::Prompt;
use crate::llm::stream::generation::Generation;
use crate::llm::upstream::completion::Finish;
use crate::resume::{Document, Section};

/// Passages longer than this are cut at a line, so that a quote stays a quote.
const PASSAGE_CHARS: usize = 500;

/// Most passages in one answer.
const MAX_QUOTES: usize = 3;

/// A further passage is quoted only when it scores at least this share of the best one.
const SCORE_SHARE: f32 = 0.55;

/// At least this share of a question's words must occur in a passage; less is a chance hit, not an answer.
const WORD_SHARE: f32 = 0.34;

/// Time between words, so that a quote can be read as it comes, like a model's answer.
const WORD_PACE: Duration = Duration::from_millis(10);

/// What visitors call the usual sections of a resume, in the stems the words are compared by. A question with one of the
/// words also asks for sections with one of the titles.
const EVERYDAY_WORDS: [(&[&str], &[&str]); 6] = [
    (&["job", "career", "employ", "employe", "compani", "posit", "role"], &["experi", "employ", "work"]),
    (&["studi", "degre", "univers", "colleg", "school", "graduat"], &["educ"]),
    (&["technolog", "tool", "framework", "stack", "know", "good"], &["skill"]),
    (&["speak", "fluent"], &["languag"]),
    (&["certif", "licens"], &["certif"]),
    (&["reach", "email", "phone", "contact", "live", "base"], &["about", "contact"]),
];

/// Finds and quotes passages.
pub struct Excerpts {
    name: String,
    titles: Vec<String>,
    passages: Vec<Passage>,
    words: DefaultTokenizer,
    engine: SearchEngine<usize>,
    subject: HashSet<String>,
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
        let words = DefaultTokenizer::new(Language::English);
        let passages: Vec<Passage> = titled(&resume.sections)
            .flat_map(|(title, section)| {
                cut(&section.text).into_iter().map(move |text| (title.clone(), text)).collect::<Vec<_>>()
            })
            .map(|(title, text)| {
                let found = words.tokenize(&format!("{title}\n{text}")).into_iter().collect();
                Passage { title, text, words: found }
            })
            .collect();
        let indexed = passages
            .iter()
            .enumerate()
            .map(|(number, passage)| Indexed::new(number, format!("{}\n{}", passage.title, passage.text)));
        let engine =
            SearchEngineBuilder::with_documents(Language::English, indexed.collect::<Vec<_>>()).build();
        let titles = resume.sections.iter().filter(|it| it.level == 1).map(|it| it.title.clone()).collect();
        // Every passage is about this person, so the name tells nothing about which one is asked for.
        let subject = words.tokenize(&resume.name).into_iter().collect();
        Self { name: resume.name.clone(), titles, passages, words, engine, subject }
    }

    /// Appends the best passages to `generation`, word by word.
    pub async fn answer(&self, prompt: &Prompt, generation: &Generation) -> Finish {
        let quoted = self.find(&prompt.question);
        let text = if quoted.is_empty() { self.nothing_found() } else { quote(&quoted) };
        for word in text.split_inclusive(' ') {
            generation.append(word);
            tokio::time::sleep(WORD_PACE).await;
        }
        let mut citations: Vec<String> = quoted.iter().map(|passage| passage.title.clone()).collect();
        citations.dedup();
        Finish { status: TurnStatus::Complete, usage: None, model: None, citations }
    }

    fn find(&self, question: &str) -> Vec<&Passage> {
        let asked: HashSet<String> =
            self.words.tokenize(question).into_iter().filter(|word| !self.subject.contains(word)).collect();
        let found = self.matching(question, &asked);
        if found.is_empty() { self.in_everyday_words(&asked) } else { found }
    }

    /// The sections a question means without naming anything in them, in the resume's order: the newest come first.
    fn in_everyday_words(&self, asked: &HashSet<String>) -> Vec<&Passage> {
        let meant: HashSet<&str> = EVERYDAY_WORDS
            .iter()
            .filter(|(words, _)| words.iter().any(|word| asked.contains(*word)))
            .flat_map(|(_, titles)| titles.iter().copied())
            .collect();
        let is_meant = |passage: &&Passage| {
            self.words.tokenize(&passage.title).iter().any(|word| meant.contains(word.as_str()))
        };
        self.passages.iter().filter(is_meant).take(MAX_QUOTES).collect()
    }

    fn matching(&self, question: &str, asked: &HashSet<String>) -> Vec<&Passage> {
        let results = self.engine.search(question, MAX_QUOTES * 4);
        let relevant = results.iter().filter_map(|result| {
            let passage = self.passages.get(result.document.id)?;
            let shared = count(asked.intersection(&passage.words).count());
            (shared > 0.0 && shared >= WORD_SHARE * count(asked.len())).then_some((result.score, passage))
        });
        let mut found: Vec<(f32, &Passage)> = relevant.collect();
        let best = found.first().map_or(0.0, |(score, _)| *score);
        found.retain(|(score, _)| *score >= best * SCORE_SHARE);
        found.into_iter().map(|(_, passage)| passage).take(MAX_QUOTES).collect()
    }

    fn nothing_found(&self) -> String {
        let topics =
            self.titles.iter().take(8).map(|title| format!("- {title}")).collect::<Vec<_>>().join("\n");
        format!(
            "The resume of {} does not seem to answer that. It covers these topics:\n\n{topics}\n",
            self.name
        )
    }
}

fn quote(passages: &[&Passage]) -> String {
    let quoted = passages.iter().map(|passage| {
        let lines = passage.text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n");
        format!("**{}**\n\n{lines}", passage.title)
    });
    quoted.collect::<Vec<_>>().join("\n\n")
}

/// Every section that has text, with the titles it stands under.
fn titled(sections: &[Section]) -> impl Iterator<Item = (String, &Section)> {
    let mut path: Vec<(u8, &str)> = Vec::new();
    sections.iter().filter_map(move |section| {
        path.retain(|(level, _)| *level < section.level);
        path.push((section.level, &section.title));
        let title = path.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(" › ");
        (!section.text.trim().is_empty()).then_some((title, section))
    })
}

/// A section's text in passages of whole lines.
fn cut(text: &str) -> Vec<String> {
    let mut passages: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match passages.last_mut() {
            Some(last) if last.len() + line.len() < PASSAGE_CHARS => {
                last.push('\n');
                last.push_str(line);
            }
            _ => passages.push(line.to_owned()),
        }
    }
    passages
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a question has few words")]
fn count(words: usize) -> f32 {
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

    fn found(question: &str) -> Vec<String> {
        excerpts().find(question).iter().map(|passage| passage.title.clone()).collect()
    }

    #[test]
    fn the_passage_that_is_asked_for_comes_first() {
        assert_eq!(found("What did Ada do at Acme?"), ["Experience › Engineer at Acme (2019–2023)"]);
        assert_eq!(found("Which languages does she speak?"), ["Languages"]);
    }

    #[test]
    fn a_question_in_everyday_words_finds_the_section_it_means() {
        let jobs = ["Experience › Engineer at Acme (2019–2023)", "Experience › Intern at Globex (2018)"];
        assert_eq!(found("What was her last job?"), jobs);
        assert_eq!(found("Which companies were her employers?"), jobs);
    }

    #[test]
    fn what_the_resume_does_not_say_is_not_made_up() {
        assert!(found("What is the capital of Peru?").is_empty());
        assert!(found("Ada?").is_empty());
        assert!(found("").is_empty());
        assert!(excerpts().nothing_found().contains("- Languages"));
    }
}

//! The rules of the architecture, read from the source tree; each checker is shown a violation that it must find.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file.
const MAX_LINES: usize = 450;

/// A Rust file: its path from the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

/// Words that may only stand in some files.
struct Rule {
    says: &'static str,
    words: &'static [&'static str],
    allowed: fn(&str) -> bool,
    /// A file and a line in it that break the rule.
    violation: (&'static str, &'static str),
}

/// Files that decide and do nothing else.
fn is_pure(path: &str) -> bool {
    const PLAIN: [&str; 17] = [
        "src/session/state/conversation.rs",
        "src/session/state/history.rs",
        "src/limits/sliding_window.rs",
        "src/session/state/token_budget.rs",
        "src/session/connection/reassembly.rs",
        "src/session/state/question_validator.rs",
        "src/supervision/restart_limit.rs",
        "src/llm/upstream/sse.rs",
        "src/llm/upstream/chunk.rs",
        "src/llm/resilience/circuit_breaker.rs",
        "src/domain/delta_offsets.rs",
        "src/llm/resilience/fair_queue.rs",
        "src/budget/amount.rs",
        "src/budget/ledger.rs",
        "src/llm/upstream/error_class.rs",
        "src/llm/resilience/retry.rs",
        "src/persistence/writer/poison_detector.rs",
    ];
    PLAIN.contains(&path) || path.starts_with("src/protocol/")
}

const RULES: &[Rule] = &[
    Rule {
        says: "only persistence knows diesel",
        words: &["diesel", "diesel_async", "diesel_migrations"],
        allowed: |path| path.starts_with("src/persistence/"),
        violation: ("src/session/actor.rs", "use diesel::prelude::*;"),
    },
    Rule {
        says: "only the upstream client knows reqwest",
        words: &["reqwest"],
        allowed: |path| path.starts_with("src/llm/upstream/"),
        violation: ("src/llm/actor.rs", "let client: reqwest::Client = Client::new();"),
    },
    Rule {
        says: "TLS is set up where the process starts, and for connections to PostgreSQL",
        words: &["rustls"],
        allowed: |path| path == "src/commands/mod.rs" || path == "src/persistence/db/postgres.rs",
        violation: ("src/llm/upstream/mod.rs", "use rustls::ClientConfig;"),
    },
    Rule {
        says: "only the session's socket knows actix-web-actors",
        words: &["actix_web_actors"],
        allowed: |path| path == "src/session/connection/socket.rs",
        violation: ("src/http/upgrade.rs", "use actix_web_actors::ws;"),
    },
    Rule {
        says: "only the settings read the environment and the configuration",
        words: &["std::env", "env::", "config::"],
        // The driver of PostgreSQL calls its own options so.
        allowed: |path| path.starts_with("src/settings/") || path == "src/persistence/db/postgres.rs",
        violation: ("src/app/startup.rs", "use std::{env, fs}; let home = env::var(name);"),
    },
    Rule {
        says: "the time of day is read in one place, and by the log",
        words: &["SystemTime::now"],
        allowed: |path| path == "src/domain/clock.rs" || path == "src/telemetry/logger.rs",
        violation: ("src/session/state/conversation.rs", "let now = std::time::SystemTime::now();"),
    },
    Rule {
        says: "no message ignores the capacity of a mailbox (hazard 8)",
        words: &[".do_send("],
        allowed: |_| false,
        violation: ("src/session/actor.rs", "self.llm.do_send(ask);"),
    },
    Rule {
        says: "every message passes through a measured mailbox",
        words: &["Handler", "Recipient", "MessageResponse"],
        allowed: |path| path.starts_with("src/mailbox/"),
        violation: ("src/llm/actor.rs", "impl Handler<AskModel> for LlmActor {"),
    },
    Rule {
        says: "panics are seen and caught in one place, and while a resume is read, before anything runs",
        words: &["catch_unwind", "set_hook"],
        allowed: |path| path.starts_with("src/supervision/") || path.starts_with("src/resume/"),
        violation: ("src/llm/turn/task.rs", "let attempt = AssertUnwindSafe(attempt).catch_unwind().await;"),
    },
    Rule {
        says: "what decides neither waits nor reads nor writes",
        words: &["actix", "actix_web", "actix_http", "diesel", "reqwest", "tokio", "Timestamp::now"],
        allowed: |path| !is_pure(path),
        violation: ("src/session/state/history.rs", "use tokio::time::Instant;"),
    },
    Rule {
        says: "only start-up and shutdown name the model's actor",
        words: &["LlmActor"],
        allowed: |path| path.starts_with("src/llm/") || is_wiring(path),
        violation: ("src/session/mod.rs", "pub llm: Addr<LlmActor>,"),
    },
    Rule {
        says: "only start-up and shutdown name the store's actor",
        words: &["PersistenceActor"],
        allowed: |path| path.starts_with("src/persistence/") || is_wiring(path),
        violation: ("src/llm/turn/task.rs", "use crate::persistence::PersistenceActor;"),
    },
    Rule {
        says: "only start-up and shutdown name the health actor",
        words: &["HealthActor"],
        allowed: |path| path.starts_with("src/health/") || is_wiring(path),
        violation: ("src/http/health.rs", "let health: Addr<HealthActor> = health;"),
    },
];

fn is_wiring(path: &str) -> bool {
    path == "src/app/startup.rs" || path == "src/app/shutdown.rs"
}

impl Rule {
    /// The lines of a file that break the rule.
    fn broken_in(&self, source: &Source) -> Vec<String> {
        if (self.allowed)(&source.path) {
            return Vec::new();
        }
        let code = code_of(&source.text);
        let lines = code.lines().enumerate();
        let guilty = lines.filter(|(_, line)| self.words.iter().any(|word| has_word(line, word)));
        guilty.map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim())).collect()
    }
}

/// Whether `word` stands in `line` and is no part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let in_name = |letter: Option<char>| letter.is_some_and(|it| it.is_alphanumeric() || it == '_');
    line.match_indices(word).any(|(at, found)| {
        let (before, after) = line.split_at(at);
        let after = after.trim_start_matches(found).chars().next();
        let begins = word.starts_with('.') || !in_name(before.chars().next_back());
        let ends = word.ends_with(['(', ':']) || !in_name(after);
        begins && ends
    })
}

/// The text without comments and with empty literals; lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if letter == '"' {
            let end = end_of_literal(rest);
            code.push_str("\"\"");
            code.extend(rest.get(..end).into_iter().flat_map(|it| it.chars().filter(|it| *it == '\n')));
            end
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest.find("\"'").map_or(1, |at| at + 2)
        } else {
            code.push(letter);
            letter.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    code
}

/// Where a literal that begins with a quotation mark ends.
fn end_of_literal(text: &str) -> usize {
    let mut escaped = true;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Every Rust file under `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

/// What is wrong with the form of a file.
fn malformed(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    if !source.text.starts_with("//! ") {
        return Some(format!("{} does not open with a sentence after //!", source.path));
    }
    (lines > MAX_LINES).then(|| format!("{} has {lines} lines", source.path))
}

#[test]
fn every_rule_of_the_architecture_is_kept() {
    let sources = sources();
    assert!(sources.len() > 50, "the sources are somewhere else: {}", sources.len());
    for rule in RULES {
        let broken: Vec<String> = sources.iter().flat_map(|source| rule.broken_in(source)).collect();
        assert!(broken.is_empty(), "{}:\n{}", rule.says, broken.join("\n"));
    }
}

#[test]
fn every_rule_finds_a_violation_and_leaves_words_alone() {
    for rule in RULES {
        let (path, line) = rule.violation;
        let file = |text: String| Source { path: path.to_owned(), text };
        let planted = file(format!("//! A file.\n\nlet text = \"a \\\" quote // and\nmore\";\n{line}\n"));
        assert_eq!(rule.broken_in(&planted), [format!("{path}:5: {line}")], "{}", rule.says);
        let word = rule.words[0];
        let mentioned =
            file(format!("//! About {word}.\nlet a = \"{word}\"; // {word}\nlet x_{0}_y = '\"';", "diesel"));
        assert!(rule.broken_in(&mentioned).is_empty(), "{} is found where it is only a word", rule.says);
    }
    // The exceptions are files that exist and need them, or the rule would have rotted.
    let sources = sources();
    for rule in RULES.iter().filter(|rule| !rule.words.contains(&".do_send(")) {
        let used = sources
            .iter()
            .any(|source| (rule.allowed)(&source.path) && has_word(&code_of(&source.text), rule.words[0]));
        assert!(used, "nobody may do what this is about: {}", rule.says);
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let faults: Vec<String> = sources().iter().filter_map(malformed).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let file = |text: String| Source { path: "src/x.rs".to_owned(), text };
    assert!(malformed(&file("use std::fs;\n".to_owned())).is_some());
    assert!(malformed(&file(format!("//! Long.\n{}", "\n".repeat(MAX_LINES)))).is_some());
    assert!(malformed(&file(format!("//! Long.\n{}", "\n".repeat(MAX_LINES - 1)))).is_none());
}

#[test]
fn debug_lines_are_compiled_into_release_builds() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let slog = manifest.lines().find(|line| line.starts_with("slog = ")).unwrap_or_default();
    assert!(slog.contains("\"release_max_level_debug\"") && slog.contains("\"max_level_trace\""), "{slog}");
}

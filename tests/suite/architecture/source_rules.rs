//! Rules for the source tree: which modules may use what, and the form of every file. Each rule is
//! also checked against a planted violation.

use std::fs;
use std::path::Path;

use crate::architecture::source::{Source, code_of, sources};

/// The maximum length of a source file.
const MAX_LINES: usize = 450;

/// Words that may occur only in some files.
struct Rule {
    description: &'static str,
    words: &'static [&'static str],
    is_allowed: fn(&str) -> bool,
    /// A file and a line that violate the rule.
    violation: (&'static str, &'static str),
}

/// Returns whether a file holds only pure logic.
fn is_pure(path: &str) -> bool {
    const PURE: [&str; 22] = [
        "src/domain/delta_offsets.rs",
        "src/session/state/conversation.rs",
        "src/session/state/history.rs",
        "src/session/state/token_budget.rs",
        "src/session/state/question_validator.rs",
        "src/session/connection/reassembly.rs",
        "src/session/connection/keepalive.rs",
        "src/session/connection/frame_limiter.rs",
        "src/session/connection/frame_rate.rs",
        "src/limits/sliding_window.rs",
        "src/supervision/restart_limit.rs",
        "src/llm/upstream/streaming/sse.rs",
        "src/llm/upstream/streaming/chunk.rs",
        "src/llm/upstream/error_class.rs",
        "src/llm/resilience/circuit_breaker.rs",
        "src/llm/resilience/retry.rs",
        "src/llm/resilience/fair_queue.rs",
        "src/llm/excerpts.rs",
        "src/system/backoff.rs",
        "src/budget/amount.rs",
        "src/budget/ledger.rs",
        "src/persistence/writer/poison_detector.rs",
    ];
    PURE.contains(&path) || path.starts_with("src/protocol/")
}

const RULES: &[Rule] = &[
    Rule {
        description: "only persistence uses diesel",
        words: &["diesel", "diesel_async", "diesel_migrations"],
        is_allowed: |path| path.starts_with("src/persistence/"),
        violation: ("src/session/actor.rs", "use diesel::prelude::*;"),
    },
    Rule {
        description: "only the upstream client uses reqwest",
        words: &["reqwest"],
        is_allowed: |path| path.starts_with("src/llm/upstream/"),
        violation: ("src/llm/actor.rs", "let client: reqwest::Client = Client::new();"),
    },
    Rule {
        description: "TLS is configured only at process start and for PostgreSQL",
        words: &["rustls"],
        is_allowed: |path| path == "src/commands/mod.rs" || path == "src/persistence/db/postgres.rs",
        violation: ("src/llm/upstream/mod.rs", "use rustls::ClientConfig;"),
    },
    Rule {
        description: "only the session socket uses actix-web-actors",
        words: &["actix_web_actors"],
        is_allowed: |path| path == "src/session/connection/socket.rs",
        violation: ("src/http/upgrade.rs", "use actix_web_actors::ws;"),
    },
    Rule {
        description: "only the settings read the environment and the configuration file",
        words: &["std::env", "env::", "config::"],
        // `config::` is also a module of the PostgreSQL driver.
        is_allowed: |path| path.starts_with("src/settings/") || path == "src/persistence/db/postgres.rs",
        violation: ("src/app/startup.rs", "use std::{env, fs}; let home = env::var(name);"),
    },
    Rule {
        description: "only the clock and the logger read the time of day",
        words: &["SystemTime::now"],
        is_allowed: |path| path == "src/domain/clock.rs" || path == "src/telemetry/logger.rs",
        violation: ("src/session/state/conversation.rs", "let now = std::time::SystemTime::now();"),
    },
    Rule {
        description: "no message bypasses the mailbox capacity",
        words: &[".do_send("],
        is_allowed: |_| false,
        violation: ("src/session/actor.rs", "self.llm.do_send(ask);"),
    },
    Rule {
        description: "every message goes through a metered mailbox",
        words: &["Handler", "Recipient", "MessageResponse"],
        // Start-up names it in the bounds of its helper for addresses. The HTTP library has a trait
        // of the same name.
        is_allowed: |path| {
            path.starts_with("src/mailbox/") || path == "src/app/context.rs" || path == "src/http/routing.rs"
        },
        violation: ("src/llm/actor.rs", "impl Handler<GenerateAnswer> for LlmActor {"),
    },
    Rule {
        description: "only supervision and the resume reader catch panics",
        words: &["catch_unwind", "set_hook"],
        is_allowed: |path| path == "src/system/panics.rs" || path.starts_with("src/resume/"),
        violation: ("src/llm/turn/task.rs", "let attempt = AssertUnwindSafe(attempt).catch_unwind().await;"),
    },
    Rule {
        description: "pure modules use no I/O, no clock and no runtime",
        words: &["actix", "actix_web", "actix_http", "diesel", "reqwest", "tokio", "Timestamp::now"],
        is_allowed: |path| !is_pure(path),
        violation: ("src/session/state/history.rs", "use tokio::time::Instant;"),
    },
    Rule {
        description: "only startup and shutdown refer to LlmActor",
        words: &["LlmActor"],
        is_allowed: |path| path.starts_with("src/llm/") || is_wiring(path),
        violation: ("src/session/mod.rs", "pub llm: Addr<LlmActor>,"),
    },
    Rule {
        description: "only startup and shutdown refer to PersistenceActor",
        words: &["PersistenceActor"],
        is_allowed: |path| path.starts_with("src/persistence/") || is_wiring(path),
        violation: ("src/llm/turn/task.rs", "use crate::persistence::PersistenceActor;"),
    },
    Rule {
        description: "only startup and shutdown refer to HealthActor",
        words: &["HealthActor"],
        is_allowed: |path| path.starts_with("src/health/") || is_wiring(path),
        violation: ("src/http/health.rs", "let health: Addr<HealthActor> = health;"),
    },
];

fn is_wiring(path: &str) -> bool {
    path.starts_with("src/app/")
}

impl Rule {
    /// Returns the lines of a file that violate the rule.
    fn violations_in(&self, source: &Source) -> Vec<String> {
        if (self.is_allowed)(&source.path) {
            return Vec::new();
        }
        let code = code_of(&source.text);
        let lines = code.lines().enumerate();
        let violations = lines.filter(|(_, line)| self.words.iter().any(|word| has_word(line, word)));
        violations.map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim())).collect()
    }
}

/// Returns whether `line` contains `word` and not just as part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name_char = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, found)| {
        let (before, after) = line.split_at(at);
        let after = after.trim_start_matches(found).chars().next();
        let begins = word.starts_with('.') || !is_name_char(before.chars().next_back());
        let ends = word.ends_with(['(', ':']) || !is_name_char(after);
        begins && ends
    })
}

/// Returns what is wrong with the form of a file.
fn form_error(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    if !source.text.starts_with("//! ") {
        return Some(format!("{} does not start with a //! line", source.path));
    }
    (lines > MAX_LINES).then(|| format!("{} has {lines} lines", source.path))
}

#[test]
fn source_tree_violates_no_rule() {
    let sources = sources();
    assert!(sources.len() > 50, "found only {} source files", sources.len());

    for rule in RULES {
        let broken: Vec<String> = sources.iter().flat_map(|source| rule.violations_in(source)).collect();
        assert!(broken.is_empty(), "{}:\n{}", rule.description, broken.join("\n"));
    }
}

#[test]
fn every_rule_finds_a_planted_violation_and_ignores_comments_and_strings() {
    for rule in RULES {
        let (path, line) = rule.violation;
        let file = |text: String| Source { path: path.to_owned(), text };
        let planted = file(format!("//! A file.\n\nlet text = \"a \\\" quote // and\nmore\";\n{line}\n"));
        assert_eq!(rule.violations_in(&planted), [format!("{path}:5: {line}")], "{}", rule.description);
        let word = rule.words[0];
        let mentioned =
            file(format!("//! About {word}.\nlet a = \"{word}\"; // {word}\nlet x_{0}_y = '\"';", "diesel"));
        assert!(
            rule.violations_in(&mentioned).is_empty(),
            "a comment or string violates: {}",
            rule.description
        );
    }

    // Some allowed file must use the word, otherwise the rule is obsolete.
    let sources = sources();
    for rule in RULES.iter().filter(|rule| !rule.words.contains(&".do_send(")) {
        let used = sources
            .iter()
            .any(|source| (rule.is_allowed)(&source.path) && has_word(&code_of(&source.text), rule.words[0]));
        assert!(used, "no allowed file uses the word: {}", rule.description);
    }
}

#[test]
fn every_file_has_a_module_doc_and_a_bounded_length() {
    let errors: Vec<String> = sources().iter().filter_map(form_error).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));

    let file = |text: String| Source { path: "src/x.rs".to_owned(), text };
    assert!(form_error(&file("use std::fs;\n".to_owned())).is_some());
    assert!(form_error(&file(format!("//! Long.\n{}", "\n".repeat(MAX_LINES)))).is_some());
    assert!(form_error(&file(format!("//! Long.\n{}", "\n".repeat(MAX_LINES - 1)))).is_none());
}

#[test]
fn release_builds_include_debug_logging() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let slog = manifest.lines().find(|line| line.starts_with("slog = ")).unwrap_or_default();

    assert!(slog.contains("\"release_max_level_debug\"") && slog.contains("\"max_level_trace\""), "{slog}");
}

//! The direction of imports: which module may use which other module of the crate.
//!
//! Every edge that the source tree needs is listed below. An import outside the lists fails the
//! test, and so does a listed edge that no import needs any more.

use std::collections::BTreeSet;

use crate::architecture::source::{Source, code_of, sources};

/// The imports that one part of a module tree may contain. A part may only import parts that are
/// listed before it, unless `may_form_cycles` is set.
struct Layering {
    /// The module whose children are the parts; empty for the crate.
    module: &'static str,
    parts: &'static [Part],
    /// For the files of one actor, whose `impl` is split over them.
    may_form_cycles: bool,
}

/// A child of a module: a file or a folder.
struct Part {
    name: &'static str,
    imports: &'static [&'static str],
}

const fn part(name: &'static str, imports: &'static [&'static str]) -> Part {
    Part { name, imports }
}

const CRATE: Layering = Layering {
    module: "",
    may_form_cycles: false,
    parts: &[
        part("domain", &[]),
        part("input_filter", &[]),
        part("resume", &[]),
        part("protocol", &["domain"]),
        part("telemetry", &["domain"]),
        part("limits", &["domain", "telemetry"]),
        part("budget", &["domain", "limits", "telemetry"]),
        part("settings", &["budget", "limits", "telemetry"]),
        part("tokens", &["settings"]),
        part("system", &["domain", "settings"]),
        part("mailbox", &["domain", "system", "telemetry"]),
        part("supervision", &["domain", "mailbox", "system", "telemetry"]),
        part(
            "persistence",
            &["budget", "domain", "mailbox", "settings", "supervision", "system", "telemetry"],
        ),
        part(
            "llm",
            &[
                "budget",
                "domain",
                "limits",
                "mailbox",
                "persistence",
                "resume",
                "settings",
                "system",
                "telemetry",
                "tokens",
            ],
        ),
        part(
            "session",
            &[
                "domain",
                "input_filter",
                "limits",
                "llm",
                "mailbox",
                "persistence",
                "protocol",
                "settings",
                "supervision",
                "system",
                "telemetry",
                "tokens",
            ],
        ),
        part(
            "health",
            &[
                "budget",
                "domain",
                "llm",
                "mailbox",
                "persistence",
                "session",
                "supervision",
                "system",
                "telemetry",
            ],
        ),
        part(
            "http",
            &[
                "budget",
                "domain",
                "health",
                "limits",
                "mailbox",
                "protocol",
                "resume",
                "session",
                "settings",
                "system",
                "telemetry",
            ],
        ),
        part(
            "app",
            &[
                "budget",
                "domain",
                "health",
                "http",
                "input_filter",
                "limits",
                "llm",
                "mailbox",
                "persistence",
                "protocol",
                "resume",
                "session",
                "settings",
                "supervision",
                "system",
                "telemetry",
                "tokens",
            ],
        ),
    ],
};

const SESSION: Layering = Layering {
    module: "session",
    may_form_cycles: true,
    parts: &[
        part("limits", &[]),
        part("messages", &[]),
        part("state", &["limits"]),
        part("registry", &["messages"]),
        part("context", &["limits", "registry", "state"]),
        part("connection", &["actor", "context", "limits"]),
        part("actor", &["connection", "context", "handlers", "messages", "registry", "state"]),
        part("handlers", &["actor", "connection", "state"]),
        part("takeover", &["actor", "connection", "registry"]),
    ],
};

const LLM: Layering = Layering {
    module: "llm",
    may_form_cycles: false,
    parts: &[
        part("prompt", &[]),
        part("stream", &[]),
        part("upstream", &["prompt"]),
        part("excerpts", &[]),
        part("resilience", &["upstream"]),
        part("router", &["excerpts", "prompt", "resilience", "upstream"]),
        part("messages", &["prompt", "resilience", "stream", "upstream"]),
        part("billing", &["router", "stream", "upstream"]),
        part(
            "turn",
            &["billing", "excerpts", "messages", "prompt", "resilience", "router", "stream", "upstream"],
        ),
        part("actor", &["messages", "router", "stream", "turn"]),
    ],
};

const PERSISTENCE: Layering = Layering {
    module: "persistence",
    may_form_cycles: false,
    parts: &[
        part("error", &[]),
        part("records", &[]),
        part("timeouts", &[]),
        part("messages", &["error", "records"]),
        part("db", &["error", "records", "timeouts"]),
        part("queries", &["db", "messages", "records"]),
        part("reports", &["db", "error", "queries", "records"]),
        part("writer", &["db", "error", "messages", "queries", "records"]),
        part("actor", &["db", "error", "messages", "queries", "records", "timeouts", "writer"]),
    ],
};

const LAYERINGS: [&Layering; 4] = [&CRATE, &SESSION, &LLM, &PERSISTENCE];

/// An import of one part by another, with the file that contains it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    path: String,
}

impl Layering {
    fn part(&self, name: &str) -> Option<&'static Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    fn allows(&self, edge: &Edge) -> bool {
        self.part(&edge.from).is_some_and(|part| part.imports.contains(&edge.to.as_str()))
    }

    /// Returns the part that a module path belongs to.
    fn part_of(&self, module: &[String]) -> Option<&'static str> {
        self.child_in(module).and_then(|name| self.part(&name)).map(|part| part.name)
    }

    /// Returns the name of the child that a module path belongs to, whether it is listed or not.
    fn child_in(&self, module: &[String]) -> Option<String> {
        match module {
            [name, ..] if self.module.is_empty() => Some(name.clone()),
            [parent, name, ..] if parent == self.module => Some(name.clone()),
            _ => None,
        }
    }

    /// Returns the edges between different parts that a file contains.
    fn edges_in(&self, source: &Source) -> BTreeSet<Edge> {
        let module = module_of(&source.path);
        let Some(from) = self.part_of(&module) else { return BTreeSet::new() };
        let targets = imported_paths(source);
        let parts = targets.iter().filter_map(|target| self.part_of(target));
        let others = parts.filter(|to| *to != from);
        let edge = |to: &str| Edge { from: from.to_owned(), to: to.to_owned(), path: source.path.clone() };
        others.map(edge).collect()
    }
}

/// Returns the module of a file: `src/llm/turn/task.rs` is `llm`, `turn`, `task`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    segments.pop_if(|last| last == "mod");
    segments
}

/// Returns whether a file belongs to the library and is not only compiled for its tests.
fn is_production_code(path: &str) -> bool {
    let is_program = path == "src/main.rs" || path == "src/lib.rs" || path.starts_with("src/commands/");
    let is_test = path.ends_with("_test.rs") || path.ends_with("tests.rs") || path.contains("/tests/");
    !is_program && !is_test
}

/// Returns the modules and items of this crate that a file names in `crate::` and `super::` paths
/// outside its unit tests, as paths from the root of the crate.
fn imported_paths(source: &Source) -> Vec<Vec<String>> {
    let code = code_of(&source.text);
    let production = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let module = module_of(&source.path);
    let mut paths = Vec::new();
    for root in ["crate::", "super::"] {
        for (start, _) in production.match_indices(root) {
            let is_inner = production[..start].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
            if !is_inner {
                paths.extend(expand(&production[start..], &module));
            }
        }
    }
    paths
}

/// Resolves the path at the start of `code`, which begins with `crate` or `super`. A group in
/// braces at its end becomes one path for each entry.
fn expand(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let end = code.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(code.len());
    let (path, rest) = code.split_at(end);
    let mut segments = path.split("::").filter(|segment| !segment.is_empty()).peekable();
    let mut base = if segments.next_if_eq(&"crate").is_some() { Vec::new() } else { module.to_vec() };
    while segments.next_if_eq(&"super").is_some() {
        base.pop();
    }
    base.extend(segments.map(str::to_owned));
    if !(path.ends_with("::") && rest.starts_with('{')) {
        return vec![base];
    }
    let group = rest[1..].split('}').next().unwrap_or_default();
    let names = group.split(',').filter_map(|entry| entry.trim().split([':', ' ', '{']).next());
    names.filter(|name| !name.is_empty()).map(|name| [base.as_slice(), &[name.to_owned()]].concat()).collect()
}

/// Returns the edges in a set of files that their layering does not allow.
fn forbidden_edges(layering: &Layering, sources: &[Source]) -> Vec<Edge> {
    let production = sources.iter().filter(|source| is_production_code(&source.path));
    let edges = production.flat_map(|source| layering.edges_in(source));
    edges.filter(|edge| !layering.allows(edge)).collect()
}

#[test]
fn imports_follow_the_allowed_edges() {
    let sources = sources();
    for layering in LAYERINGS {
        let forbidden = forbidden_edges(layering, &sources);
        assert!(forbidden.is_empty(), "not in the list of `{}`: {forbidden:#?}", layering.module);
    }
}

#[test]
fn every_part_and_every_allowed_edge_exists() {
    let sources = sources();
    for layering in LAYERINGS {
        let used: BTreeSet<(String, String)> = sources
            .iter()
            .filter(|source| is_production_code(&source.path))
            .flat_map(|source| layering.edges_in(source))
            .map(|edge| (edge.from, edge.to))
            .collect();
        let allowed: BTreeSet<(String, String)> = layering
            .parts
            .iter()
            .flat_map(|part| part.imports.iter().map(|to| (part.name.to_owned(), (*to).to_owned())))
            .collect();
        let unused: Vec<_> = allowed.difference(&used).collect();
        assert!(unused.is_empty(), "no import needs these edges of `{}`: {unused:#?}", layering.module);

        let children: BTreeSet<String> = sources
            .iter()
            .filter(|source| is_production_code(&source.path))
            .filter_map(|source| layering.child_in(&module_of(&source.path)))
            .collect();
        let listed: BTreeSet<String> = layering.parts.iter().map(|part| part.name.to_owned()).collect();
        assert_eq!(children, listed, "the parts of `{}`", layering.module);
    }
}

#[test]
fn parts_only_import_parts_that_are_listed_before_them() {
    for layering in LAYERINGS.into_iter().filter(|layering| !layering.may_form_cycles) {
        for (index, part) in layering.parts.iter().enumerate() {
            for import in part.imports {
                let before = layering.parts[..index].iter().any(|earlier| earlier.name == *import);
                assert!(before, "`{}` imports `{import}`, which is not listed before it", part.name);
            }
        }
    }
}

#[test]
fn planted_violations_are_found() {
    let cases = [
        ("src/persistence/actor.rs", "use crate::session::registry::Registry;", ("persistence", "session")),
        ("src/persistence/db/pool.rs", "use crate::llm::router::Router;", ("persistence", "llm")),
        ("src/llm/stream/buffer.rs", "use crate::protocol::server::DeltaFrame;", ("llm", "protocol")),
        ("src/domain/clock.rs", "let now = crate::telemetry::now();", ("domain", "telemetry")),
        ("src/resume/pdf/mod.rs", "use super::super::settings::Settings;", ("resume", "settings")),
        ("src/telemetry/logger.rs", "use crate::{domain, settings};", ("telemetry", "settings")),
        ("src/session/state/history.rs", "use crate::session::actor::SessionActor;", ("state", "actor")),
        ("src/session/state/history.rs", "use super::super::registry::Registry;", ("state", "registry")),
        (
            "src/llm/upstream/streaming/sse.rs",
            "use crate::llm::resilience::retry::Backoff;",
            ("upstream", "resilience"),
        ),
        ("src/llm/stream/buffer.rs", "use super::super::turn::task;", ("stream", "turn")),
        (
            "src/persistence/queries/turns.rs",
            "use crate::persistence::writer::Writer;",
            ("queries", "writer"),
        ),
        ("src/persistence/records.rs", "use super::{db, error};", ("records", "db")),
    ];
    for (path, line, (from, to)) in cases {
        let planted = Source { path: path.to_owned(), text: format!("//! A file.\n\n{line}\n") };
        let found: Vec<(String, String)> = LAYERINGS
            .into_iter()
            .flat_map(|layering| forbidden_edges(layering, std::slice::from_ref(&planted)))
            .map(|edge| (edge.from, edge.to))
            .collect();
        assert!(found.contains(&(from.to_owned(), to.to_owned())), "{path}: {line}: {found:?}");
    }
}

#[test]
fn unit_tests_comments_and_strings_are_no_imports() {
    let text = "//! See crate::session.\n\nconst TEXT: &str = \"crate::session::actor\";\n\n\
         #[cfg(test)]\nmod tests {\n    use crate::session::actor::SessionActor;\n}\n";
    let source = Source { path: "src/domain/clock.rs".to_owned(), text: text.to_owned() };
    assert_eq!(CRATE.edges_in(&source), BTreeSet::new());
}

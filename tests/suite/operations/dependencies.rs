//! Checks that need no cargo-deny: every licence is allowed by `deny.toml`, and every direct
//! dependency is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Direct dependencies that no code names.
const UNNAMED: [(&str, &str); 2] = [
    ("libsqlite3-sys", "its feature `bundled` compiles SQLite into the binary"),
    ("tracing", "its feature `log` forwards what libraries trace to the log"),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every package of the lock file, for all platforms.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version", "1"]).current_dir(repository());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn allowed_licences() -> BTreeSet<String> {
    let file = config::File::from(repository().join("deny.toml")).format(config::FileFormat::Toml);
    let deny = config::Config::builder().add_source(file).build().unwrap();
    deny.get("licenses.allow").unwrap()
}

/// Whether the allowed licences satisfy an SPDX expression. An old `/` means `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let result = any_of(&mut tokens, allowed);
    result && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = all_of(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        result |= all_of(tokens, allowed);
    }
    result
}

fn all_of(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = licence(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        result &= licence(tokens, allowed);
    }
    result
}

fn licence(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> bool {
    if tokens.next_if_eq(&"(").is_some() {
        let result = any_of(tokens, allowed);
        return result && tokens.next() == Some(")");
    }
    let mut name = tokens.next().unwrap_or_default().to_owned();
    if tokens.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", tokens.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed_licences();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence, &allowed), "{}: {licence}", package["name"]);
    }
}

#[test]
fn a_licence_expression_is_allowed_only_if_each_required_licence_is() {
    let allowed = BTreeSet::from(["MIT", "ISC"].map(ToOwned::to_owned));
    for expression in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "MIT AND ISC", "(GPL-3.0 OR ISC) AND MIT"] {
        assert!(is_allowed(expression, &allowed), "{expression}");
    }
    for expression in [
        "",
        "none",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "MIT WITH X",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT ISC",
        "(MIT",
    ] {
        assert!(!is_allowed(expression, &allowed), "{expression}");
    }
}

/// The words of a Rust file, or of those in a directory, without those in comments.
fn collect_words(directory: &Path, words: &mut BTreeSet<String>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![directory.to_path_buf()],
    };
    for entry in entries {
        if entry.is_dir() {
            collect_words(&entry, words);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).unwrap();
            let code = text.lines().filter_map(|line| line.split("//").next());
            let found =
                code.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
            words.extend(found.map(ToOwned::to_owned));
        }
    }
}

fn words_in(paths: &[&str]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for path in paths {
        collect_words(&repository().join(path), &mut words);
    }
    words
}

#[test]
fn every_direct_dependency_is_used() {
    let (program, tests) = (words_in(&["src"]), words_in(&["src", "tests", "benches"]));
    let build = words_in(&["build.rs", "build"]);
    let package = packages().into_iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap();
    let dependencies = package["dependencies"].as_array().unwrap();
    for dependency in dependencies {
        let name = dependency["name"].as_str().unwrap();
        let words = match dependency["kind"].as_str() {
            None => &program,
            Some("build") => &build,
            Some(_) => &tests,
        };
        let is_used = words.contains(&name.replace('-', "_"));
        let is_unnamed = UNNAMED.iter().any(|(unnamed, _)| *unnamed == name);
        assert!(is_used != is_unnamed, "{name} is not used, or is used and listed as unnamed");
    }
    for (unnamed, _) in UNNAMED {
        assert!(dependencies.iter().any(|dependency| dependency["name"] == unnamed), "{unnamed}");
    }
}

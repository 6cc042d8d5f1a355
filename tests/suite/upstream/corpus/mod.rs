//! The corpus of model servers: every file of `tests/fixtures/upstream` is played through a
//! visitor's socket.
//!
//! A file holds what a server sends, byte by byte, and what the visitor, the store of metrics and
//! the log must then say. `UPSTREAM_CASES=vllm` plays only the files whose path contains `vllm`.

mod case;
mod expectation;
mod placeholders;
mod player;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::tools::external_tools::repository_path;
use crate::upstream::corpus::case::{Case, CaseFile, case_files};

const UPSTREAM_PAGE: &str = include_str!("../../../../docs/upstream.md");

const TABLE_HEAD: &str = "| server | cases | what was tried | dialect | known limits |";

/// The least number of servers and of cases in the corpus.
const MIN_SERVERS: usize = 20;
const MIN_CASES: usize = 150;

/// The number of cases that are played at the same time. Each has a server process, which spends
/// most of its time waiting.
const AT_THE_SAME_TIME: usize = 4;

fn corpus_directory() -> std::path::PathBuf {
    repository_path("tests/fixtures/upstream")
}

/// Reads a file as a case. Unknown keys are errors.
fn read(file: &CaseFile) -> Result<Case, String> {
    let text = std::fs::read_to_string(&file.path).map_err(|error| error.to_string())?;
    Case::parse(&text)
}

/// Plays a file and returns what differs from its expectations, one line each.
async fn differences(file: &CaseFile) -> Vec<String> {
    let case = match read(file) {
        Ok(case) => case,
        Err(error) => return vec![format!("unreadable: {error}")],
    };
    // In a task of its own, because the visitor panics where the wire contract is violated.
    match tokio::spawn(async move { player::play(&case).await }).await {
        Ok(differences) => differences,
        Err(error) => vec![format!("could not be played: {error}")],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_corpus_ends_as_its_file_says() {
    let selected = std::env::var_os("UPSTREAM_CASES").unwrap_or_default().to_string_lossy().into_owned();
    let mut files = case_files(&corpus_directory());
    files.retain(|file| file.name.contains(&selected));
    assert!(!files.is_empty(), "no file of the corpus has {selected:?} in its path");
    let played = files.len();

    let places = Arc::new(Semaphore::new(AT_THE_SAME_TIME));
    let mut playing = JoinSet::new();
    for file in files {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire_owned().await;
            (file.name.clone(), differences(&file).await)
        });
    }
    let mut failures: Vec<(String, Vec<String>)> = playing.join_all().await;
    failures.retain(|(_, differences)| !differences.is_empty());
    failures.sort();
    let report: String = failures
        .iter()
        .map(|(name, differences)| format!("{name}\n    {}\n", differences.join("\n    ")))
        .collect();
    assert!(failures.is_empty(), "{} of {played} cases differ:\n{report}", failures.len());
}

#[test]
fn corpus_has_at_least_twenty_servers_and_a_hundred_and_fifty_cases() {
    let files = case_files(&corpus_directory());
    let mut servers = BTreeSet::new();
    for file in &files {
        let case = read(file).unwrap_or_else(|error| panic!("{}: {error}", file.name));
        assert!(case.source.starts_with("https://"), "{}: the source has no address", file.name);
        assert!(case.behaviour.ends_with('.'), "{}: the behaviour is not a sentence", file.name);
        servers.insert((file.server.clone(), case.server));
    }
    let folders: BTreeSet<_> = servers.iter().map(|(folder, _)| folder).collect();
    assert_eq!(folders.len(), servers.len(), "a folder has files of one server: {servers:?}");
    assert!(servers.len() >= MIN_SERVERS, "only {} servers", servers.len());
    assert!(files.len() >= MIN_CASES, "only {} cases", files.len());
}

#[test]
fn table_of_servers_has_every_folder_and_its_number_of_cases() {
    let table = UPSTREAM_PAGE.split(TABLE_HEAD).nth(1);
    let table = table.unwrap_or_else(|| panic!("docs/upstream.md has no {TABLE_HEAD}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: BTreeMap<String, usize> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let server = cells.next().unwrap_or_default().to_owned();
            let cases = cells.next().and_then(|cases| cases.parse().ok());
            (server, cases.unwrap_or_else(|| panic!("no number of cases in {row}")))
        })
        .collect();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for file in case_files(&corpus_directory()) {
        let case = read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.name));
        *found.entry(case.server).or_default() += 1;
    }
    assert_eq!(documented, found, "the table of docs/upstream.md and the folders of the corpus");
}

#[test]
fn unknown_keys_and_missing_expectations_are_errors() {
    let valid =
        "server = \"A\"\nbehaviour = \"B.\"\nsource = \"https://c\"\n[[response]]\nbody = \"\"\n[expect]\n";
    assert!(Case::parse(valid).is_ok(), "{:?}", Case::parse(valid));
    for (what, text) in [
        ("a key at the top", format!("colour = 1\n{valid}")),
        ("a key of a response", valid.replace("body =", "colour = 1\nbody =")),
        ("a key of the expectations", format!("{valid}colour = 1\n")),
        ("a key of the usage", format!("{valid}usage = {{ prompts = 1 }}\n")),
        ("no expectations", valid.replace("[expect]\n", "")),
        ("no response", valid.replace("[[response]]\nbody = \"\"\n", "")),
        ("two bodies", valid.replace("body =", "body_base64 = \"\"\nbody =")),
    ] {
        assert!(Case::parse(&text).is_err(), "{what} is accepted");
    }
}

#[test]
fn files_are_found_below_the_folder_of_their_server() {
    for file in case_files(&corpus_directory()) {
        let path = Path::new(&file.name);
        assert_eq!(path.components().count(), 2, "{} is not in the folder of a server", file.name);
    }
}

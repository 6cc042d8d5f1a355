//! The Markdown of answers, in a DOM without a browser: `tests/tools/markdown`.

use std::fs;

use crate::support::tools::external_tools::{command, node_modules, repository_path, run_tool};

/// The folder with the tests, which run in Node.
const TESTS: &str = "tests/tools/markdown";

/// Runs the tests in a file.
async fn run(file: &str) {
    let Some(modules) = node_modules(file) else { return };
    // Node resolves modules relative to the script.
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(repository_path(TESTS)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    std::os::unix::fs::symlink(modules, directory.path().join("node_modules")).unwrap();
    let mut node = command("node", &["--test-reporter=tap", file], directory.path());
    node.env("ASSETS", repository_path("assets"));

    let output = run_tool(node, "").await;

    assert!(output.succeeded, "{}{}", output.stdout, output.stderr);
    let passed = output.stdout.lines().find_map(|line| line.strip_prefix("# pass ")?.parse::<u32>().ok());
    assert!(passed > Some(2), "{}", output.stdout);
}

#[tokio::test]
async fn examples_of_the_commonmark_specification_look_as_it_says() {
    run("commonmark.test.mjs").await;
}

#[tokio::test]
async fn links_tables_code_and_hostile_text_are_shown_safely() {
    run("content.test.mjs").await;
}

#[tokio::test]
async fn the_parts_in_which_an_answer_arrives_do_not_matter() {
    run("streaming.test.mjs").await;
}

#[tokio::test]
async fn the_cost_of_an_answer_is_linear_and_its_depth_bounded() {
    run("bounds.test.mjs").await;
}

#[test]
fn every_file_of_markdown_tests_is_run() {
    let mut files: Vec<String> = fs::read_dir(repository_path(TESTS))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".test.mjs"))
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        ["bounds", "commonmark", "content", "streaming"].map(|name| format!("{name}.test.mjs"))
    );
}

//! Runs the tests of the client that are written in JavaScript. Their server is in the same process.

use std::time::Duration;

use crate::support::tools::external_tools::{command, node_modules, repository_path, run_tool_within};

/// Some tests wait for the real timeouts of the client.
const TIMEOUT: Duration = Duration::from_secs(300);

async fn run(file: &str) {
    let Some(modules) = node_modules(file) else { return };
    let directory = repository_path("tests/suite/client_package");
    let mut node = command("node", &["--test", file], &directory);
    node.env("TEST_NODE_MODULES", modules);
    let output = run_tool_within(TIMEOUT, node, "").await;
    assert!(output.succeeded, "{file}:\n{}\n{}", output.stdout, output.stderr);
}

#[tokio::test]
async fn event_streams_are_parsed_as_the_standard_says() {
    run("event_stream_parser.test.mjs").await;
}

#[tokio::test]
async fn client_finds_a_way_through_every_kind_of_proxy() {
    run("transports.test.mjs").await;
}

#[tokio::test]
async fn client_follows_every_row_of_the_tables_of_codes() {
    run("codes.test.mjs").await;
}

#[tokio::test]
async fn client_keeps_conversations_and_words() {
    run("behaviour.test.mjs").await;
}

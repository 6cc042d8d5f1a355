//! `conversations export`: every format, more than fits into one page, files, and readers that leave.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::on_both_stores;
use crate::support::chat::{Chat, until_stored};
use crate::support::owner::{converse, refusal, told, told_json};
use crate::support::stores::{FreshStore, Store};

/// More conversations than are read at one time, one of them with more turns; written here, because asking takes long.
async fn fill(store: &FreshStore, like: &str) {
    let id = |number: usize| format!("ffffffff-0000-7000-8000-{number:012}");
    let copy = |number: usize| {
        format!(
            "INSERT INTO sessions (id, token_hash, epoch, created_at_ms, last_seen_at_ms) SELECT '{}', token_hash, epoch, created_at_ms, last_seen_at_ms
             FROM sessions WHERE id = '{like}';",
            id(number)
        )
    };
    let turn = |number: usize| {
        let (turn, session) = (id(1000 + number), id(if number < COPIES { number } else { 0 }));
        format!(
            "INSERT INTO turns (id, session_id, status, asked_at_ms)
             VALUES ('{turn}', '{session}', 'complete', 1);
             INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms)
             VALUES ('{turn}', 'user', 'Copy {number}', 1, 1);"
        )
    };
    let statements = (0..COPIES).map(copy).chain((0..2 * COPIES).map(turn));
    store.execute(&statements.collect::<String>()).await;
}

/// Conversations that [`fill`] makes; the first has one question more than this, the others have one.
const COPIES: usize = 130;

on_both_stores! {
    async fn everything_is_exported_in_pages(store: FreshStore) {
        let chat = Chat::on(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "600")]).await;
        let first = converse(&chat, &["One \"quoted\"?", "Two?"]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 2).await;
        fill(&store, &first).await;
        check_exports(&store, &first).await;
    }
}

/// An export of two real conversations' turns and of what [`fill`] made, in every format.
async fn check_exports(store: &FreshStore, first: &str) {
    let lines = told(store, &["conversations", "export"]).await;
    let conversations: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(conversations.len(), COPIES + 1);
    let turns = |it: &Value| it["turns"].as_array().unwrap().len();
    assert_eq!((turns(&conversations[0]), turns(&conversations[1])), (2, COPIES + 1));
    assert!(conversations[2..].iter().all(|it| turns(it) == 1));
    assert_eq!(
        (&conversations[0]["id"], &conversations[0]["turns"][0]["question"]),
        (&json!(first), &json!("One \"quoted\"?"))
    );
    let asked =
        conversations[1]["turns"].as_array().unwrap().iter().map(|turn| turn["question"].as_str().unwrap());
    let asked: Vec<&str> = asked.collect();
    assert_eq!((asked[0], asked[1], asked[COPIES]), ("Copy 0", "Copy 130", "Copy 259"));
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), COPIES + 1);

    for json in [&["--format", "json"][..], &["--json"]] {
        let arguments: Vec<&str> = ["conversations", "export"].iter().chain(json).copied().collect();
        assert_eq!(told_json(store, &arguments).await, Value::Array(conversations.clone()));
    }
    let markdown = told(store, &["conversations", "export", "--format", "markdown"]).await;
    assert_eq!(markdown.matches("\n# Conversation ").count(), COPIES);
    assert!(markdown.contains("> One \"quoted\"?\n") && markdown.contains("> Copy 259\n"));
    assert_eq!(told_json(store, &["conversations", "export", "--json", "--unanswered"]).await, json!([]));

    // A file is private and replaced as a whole; a folder that is not there is named.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    fs::write(&file, "before").unwrap();
    let path = file.display().to_string();
    assert_eq!(told(store, &["conversations", "export", "--output", &path]).await, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none/all.jsonl").display().to_string();
    let error = refusal(store, 1, &["conversations", "export", "-o", &nowhere]).await;
    assert!(error.contains(&nowhere), "{error}");
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_failure() {
    let name = format!("{}::a_reader_that_has_had_enough", module_path!());
    let Some(store) = Store::Sqlite.fresh_for(&name).await else { return };
    let chat = Chat::on(&store, &[]).await;
    let id = converse(&chat, &["One?"]).await;
    fill(&store, &id).await;
    let export = format!(
        "{} conversations export | head -c 7; echo \"${{PIPESTATUS[0]}}\"",
        env!("CARGO_BIN_EXE_resume-chatbot")
    );
    let output =
        Command::new("bash").args(["-c", &export]).env("DATABASE_URL", store.url()).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"id\":\"0\n", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

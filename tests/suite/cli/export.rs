//! `conversations export`: all formats, more than one page, output files, and a closed pipe.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::on_both_stores;
use crate::support::client::chat::{Chat, wait_until_stored};
use crate::support::server::cli::{ask_in_new_session, run_failing, run_json, run_ok};
use crate::support::stores::fresh_store::{FreshStore, StoreKind};

/// Inserts more conversations than one page holds, one of them with more turns than one page. SQL
/// is faster than asking questions.
async fn insert_copies(store: &FreshStore, template_id: &str) {
    let id = |number: usize| format!("ffffffff-0000-7000-8000-{number:012}");
    let copy = |number: usize| {
        format!(
            "INSERT INTO sessions (id, token_hash, epoch, created_at_ms, last_seen_at_ms) SELECT '{}', token_hash, epoch, created_at_ms, last_seen_at_ms
             FROM sessions WHERE id = '{template_id}';",
            id(number)
        )
    };
    let turn = |number: usize| {
        let (turn, session) = (id(1000 + number), id(if number < COPIES { number } else { 0 }));
        format!(
            "INSERT INTO turns (id, session_id, status, asked_at_ms)
             VALUES ('{turn}', '{session}', 'complete', 1);
             INSERT INTO messages (turn_id, role, content, tokens, created_at_ms)
             VALUES ('{turn}', 'user', 'Copy {number}', 1, 1);"
        )
    };
    let statements = (0..COPIES).map(copy).chain((0..2 * COPIES).map(turn));
    store.execute(&statements.collect::<String>()).await;
}

/// The number of conversations that [`insert_copies`] inserts. The first one has `COPIES + 1`
/// questions, the others have one.
const COPIES: usize = 130;

on_both_stores! {
    async fn export_includes_all_pages_in_every_format(store: FreshStore) {
        let chat = Chat::with_store(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "600")]).await;

        let first = ask_in_new_session(&chat, &["One \"quoted\"?", "Two?"]).await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 2).await;
        insert_copies(&store, &first).await;
        check_exports(&store, &first).await;
    }
}

/// Checks the export of one real conversation and the inserted copies.
async fn check_exports(store: &FreshStore, first: &str) {
    let lines = run_ok(store, &["conversations", "export"]).await;
    let conversations: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(conversations.len(), COPIES + 1);
    let turn_count = |conversation: &Value| conversation["turns"].as_array().unwrap().len();
    assert_eq!((turn_count(&conversations[0]), turn_count(&conversations[1])), (2, COPIES + 1));
    assert!(conversations[2..].iter().all(|conversation| turn_count(conversation) == 1));
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
        assert_eq!(run_json(store, &arguments).await, Value::Array(conversations.clone()));
    }
    let markdown = run_ok(store, &["conversations", "export", "--format", "markdown"]).await;
    assert_eq!(markdown.matches("\n# Conversation ").count(), COPIES);
    assert!(markdown.contains("> One \"quoted\"?\n") && markdown.contains("> Copy 259\n"));
    assert_eq!(run_json(store, &["conversations", "export", "--json", "--unanswered"]).await, json!([]));

    // The output file is private and replaced atomically. A missing directory is reported.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    fs::write(&file, "before").unwrap();
    let path = file.display().to_string();
    assert_eq!(run_ok(store, &["conversations", "export", "--output", &path]).await, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none/all.jsonl").display().to_string();
    let error = run_failing(store, 1, &["conversations", "export", "-o", &nowhere]).await;
    assert!(error.contains(&nowhere), "{error}");
}

#[tokio::test]
async fn export_to_a_closed_pipe_succeeds() {
    let name = format!("{}::export_to_a_closed_pipe", module_path!());
    let Some(store) = StoreKind::Sqlite.create_for(&name).await else { return };
    let chat = Chat::with_store(&store, &[]).await;

    let id = ask_in_new_session(&chat, &["One?"]).await;
    insert_copies(&store, &id).await;
    let export = format!(
        "{} conversations export | head -c 7; echo \"${{PIPESTATUS[0]}}\"",
        env!("CARGO_BIN_EXE_resume-chatbot")
    );
    let output =
        Command::new("bash").args(["-c", &export]).env("DATABASE_URL", store.url()).output().await.unwrap();

    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"id\":\"0\n", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

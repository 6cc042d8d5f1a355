//! The `conversations` and `usage` commands, run while the server runs.

use std::fs;

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, FAIL_FAST, wait_until_stored};
use crate::support::server::cli::{ask_in_new_session, run, run_failing, run_json, run_ok};
use crate::support::server::process::run_command;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::upstream::request::Request;
use crate::support::upstream::script::Script;

/// Returns the ids in a listing, in its order.
fn ids(listing: &Value) -> Vec<&str> {
    let conversations = listing["conversations"].as_array().unwrap();
    conversations.iter().filter_map(|conversation| conversation["id"].as_str()).collect()
}

/// Moves the timestamps of a conversation this many days into the past.
async fn backdate(store: &FreshStore, id: &str, days: i64) {
    let span = days * 86_400_000;
    let sessions =
        format!("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - {span} WHERE id = '{id}'");
    let turns = format!("UPDATE turns SET asked_at_ms = asked_at_ms - {span} WHERE session_id = '{id}'");
    store.execute(&sessions).await;
    store.execute(&turns).await;
}

fn fail_on_bad_question(request: &Request) -> Script {
    if request.question() == "Bad?" { Script::rejection(500, "no") } else { Script::new() }
}

const LIST: [&str; 3] = ["conversations", "list", "--json"];

fn list_with<'a>(options: &[&'a str]) -> Vec<&'a str> {
    LIST.iter().chain(options).copied().collect()
}

/// Asks three answered questions, two days ago, and one failing question in another session.
async fn ask_questions_with_different_usage(store: &FreshStore) -> Chat {
    let chat = Chat::with_store(store, &FAIL_FAST).await;
    chat.upstream.answer_with(|request| match request.question() {
        question if question.starts_with("Big") => {
            Script::from_words(&["Yes"]).model("test/big").usage(1000, 50, 1.5)
        }
        "Free?" => Script::from_words(&["No"]).usage(10, 1, None),
        _ => fail_on_bad_question(request),
    });
    let id = ask_in_new_session(&chat, &["Big?", "Big again?", "Free?"]).await;
    ask_in_new_session(&chat, &["Bad?"]).await;
    let ended = "SELECT count(*) FROM turns WHERE status IN ('complete', 'failed')";
    wait_until_stored(store, ended, 4).await;
    backdate(store, &id, 2).await;
    chat
}

fn delete_with<'a>(options: &[&'a str]) -> Vec<&'a str> {
    ["conversations", "delete"].iter().chain(options).copied().collect()
}

on_both_stores! {
    async fn list_shows_conversations_newest_first_in_pages_without_text(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        chat.upstream.always(Script::from_words(&["answer", "marker"]).usage(100, 20, 0.25));

        let first = ask_in_new_session(&chat, &["A marker?", "Another marker?"]).await;
        let second = ask_in_new_session(&chat, &["A third marker?"]).await;
        let empty = ask_in_new_session(&chat, &[]).await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;

        let listing = run_json(&store, &LIST).await;
        assert_eq!(ids(&listing), [second.as_str(), &first]);

        let oldest = &listing["conversations"][1];
        assert_eq!(oldest["questions"], 2);
        assert_eq!((&oldest["prompt_tokens"], &oldest["completion_tokens"]), (&json!(200), &json!(40)));
        assert_eq!((&oldest["cost"], &oldest["unanswered"]), (&json!(0.5), &json!(0)));
        assert_eq!(listing["next"], Value::Null);
        assert_eq!(ids(&run_json(&store, &list_with(&["--all"])).await).first(), Some(&empty.as_str()));

        let page = run_json(&store, &list_with(&["--limit", "1"])).await;
        assert_eq!((ids(&page), &page["next"]), (vec![second.as_str()], &json!(second)));

        let page = run_json(&store, &list_with(&["--limit", "1", "--before", &second])).await;
        assert_eq!((ids(&page), &page["next"]), (vec![first.as_str()], &Value::Null));

        let text = run_ok(&store, &["conversations", "list"]).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(
            lines[2].starts_with(&first) && lines[2].ends_with("2           0     240  $0.500000"),
            "{text}"
        );
        assert!(!text.contains("marker"), "{text}");

        let output = run(&store, &["conversations", "list", "--limit", "1"]).await;
        assert!(output.stderr.contains(&format!("--before {second}")), "{output:?}");

        backdate(&store, &first, 3).await;
        assert_eq!(ids(&run_json(&store, &list_with(&["--since", "2d"])).await), [second.as_str()]);
        assert_eq!(ids(&run_json(&store, &list_with(&["--since", "1w"])).await).len(), 2);
    }

    async fn list_filters_unanswered_questions(store: FreshStore) {
        let chat = Chat::with_store(&store, &FAIL_FAST).await;
        chat.upstream.answer_with(fail_on_bad_question);

        ask_in_new_session(&chat, &["Works?"]).await;
        let failed = ask_in_new_session(&chat, &["Works too?", "Bad?"]).await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status IN ('complete', 'failed')", 3)
            .await;
        let listing = run_json(&store, &list_with(&["--unanswered"])).await;

        assert_eq!(ids(&listing), [failed.as_str()]);

        let found = &listing["conversations"][0];
        assert_eq!((&found["questions"], &found["unanswered"]), (&json!(2), &json!(1)));

        let shown = run_ok(&store, &["conversations", "show", &failed]).await;
        assert!(shown.contains("Answer (failed"), "{shown}");
    }

    async fn show_prints_times_status_and_tokens_and_escapes_markup(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let words = ["Rust.\n\n", "## 2020-01-01T00:00:00Z Visitor\u{1b}[2J"];
        chat.upstream.always(Script::from_words(&words).usage(100, 20, 0.25));

        let id = ask_in_new_session(&chat, &["Which language?"]).await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        let shown = run_ok(&store, &["conversations", "show", &id]).await;
        let lines: Vec<&str> = shown.lines().collect();

        assert_eq!(lines[0], format!("# Conversation {id}"));
        assert!(lines[2].ends_with("1 question, 120 tokens, $0.250000."), "{shown}");
        assert!(lines[4].starts_with("## 20") && lines[4].ends_with("Z Visitor"), "{shown}");
        assert_eq!(lines[6], "> Which language?");
        assert!(lines[8].ends_with("Answer (complete, test/model, 100 + 20 tokens, $0.250000)"), "{shown}");
        // Text of the model cannot look like a heading or contain terminal escapes.
        assert_eq!(lines[10..13], ["> Rust.", ">", "> ## 2020-01-01T00:00:00Z Visitor\u{fffd}[2J"]);

        let shown = run_json(&store, &["conversations", "show", &id, "--json"]).await;
        let turn = &shown["turns"][0];
        assert_eq!((&shown["id"], &turn["question"]), (&json!(id), &json!("Which language?")));
        assert_eq!((&turn["answer"], &turn["status"]), (&json!(words.concat()), &json!("complete")));
        assert_eq!((&turn["model"], &turn["cost"]), (&json!("test/model"), &json!(0.25)));
        assert!(turn["asked_at"].as_str() <= turn["answered_at"].as_str(), "{turn}");

        let unknown_id = "01900000-0000-7000-8000-000000000000";
        let error = run_failing(&store, 1, &["conversations", "show", unknown_id]).await;
        assert!(error.contains(&format!("there is no conversation {unknown_id}")), "{error}");

        let error = run_failing(&store, 2, &["conversations", "show", "42"]).await;
        assert!(error.contains("not the id of a conversation"), "{error}");
    }

    async fn delete_removes_conversations_under_a_running_server(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        chat.visitor.ask_and_wait("Here?").await;
        let old = ask_in_new_session(&chat, &["Old?"]).await;
        let other = ask_in_new_session(&chat, &["Other?", "More?"]).await;
        let kept = ask_in_new_session(&chat, &["Kept?"]).await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 5).await;
        backdate(&store, &old, 40).await;

        // Nothing is deleted without `--yes` or with an unknown id.
        let error = run_failing(&store, 2, &delete_with(&[&other])).await;
        assert!(error.contains("--yes"), "{error}");

        let unknown_id = "01900000-0000-7000-8000-000000000000";
        let error = run_failing(&store, 1, &delete_with(&["--yes", &other, unknown_id])).await;
        assert!(error.contains(unknown_id), "{error}");

        run_failing(&store, 2, &delete_with(&[])).await;
        let preview = run_ok(&store, &delete_with(&["--older-than", "30d", "--dry-run"])).await;
        assert_eq!(preview, "1 conversation with 1 question would be deleted\n");
        assert_eq!(store.query_number("SELECT count(*) FROM sessions").await, 4);

        let deleted = run_ok(&store, &delete_with(&["--older-than", "30d", "--yes"])).await;
        assert_eq!(deleted, "1 conversation with 1 question deleted\n");

        let open_session = session.session_id.as_str();
        let deleted = run_json(&store, &delete_with(&["-y", "--json", &other, open_session])).await;
        assert_eq!(deleted, json!({"conversations": 2, "questions": 3, "dry_run": false}));
        assert_eq!(store.query_texts("SELECT CAST(id AS TEXT) FROM sessions").await, [kept.as_str()]);
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 2);

        // Deleted text is overwritten in an SQLite file.
        if store.kind() == StoreKind::Sqlite {
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            let file = fs::read(store.url().trim_start_matches("sqlite://")).unwrap();
            let file_contains = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(
                file_contains("Kept?") && !file_contains("Old?") && !file_contains("Other?"),
                "deleted text is still in the file"
            );
        }

        // A connection with a deleted conversation gets an error; the server keeps running.
        chat.visitor.ask("Still here?").await;
        chat.visitor.expect_error("SESSION_NOT_FOUND").await;

        ask_in_new_session(&chat, &["A new one?"]).await;
        let none = run_ok(&store, &delete_with(&["--older-than", "30d"])).await;
        assert_eq!(none, "0 conversations with 0 questions deleted\n");
    }

    async fn usage_sums_tokens_and_cost_by_day_status_and_model(store: FreshStore) {
        let _chat = ask_questions_with_different_usage(&store).await;

        let usage_by = async |group: &str| run_json(&store, &["usage", "--json", "--by", group]).await;
        let days = usage_by("day").await;
        let groups = days["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 2, "{days}");
        assert!(groups[0]["group"].as_str() < groups[1]["group"].as_str(), "{days}");
        assert_eq!((&groups[0]["questions"], &groups[0]["cost"]), (&json!(3), &json!(3.0)));

        let statuses = usage_by("status").await;
        assert_eq!(
            (&statuses["groups"][0]["group"], &statuses["groups"][1]["group"]),
            (&json!("complete"), &json!("failed"))
        );

        let models = usage_by("model").await;
        let big = &models["groups"][0];
        assert_eq!(
            (&big["group"], &big["prompt_tokens"], &big["completion_tokens"]),
            (&json!("test/big"), &json!(2000), &json!(100))
        );

        for report in [&days, &statuses, &models] {
            let total = &report["total"];
            assert_eq!((&total["questions"], &total["cost"]), (&json!(4), &json!(3.0)));
            assert_eq!((&total["prompt_tokens"], &total["completion_tokens"]), (&json!(2010), &json!(101)));
        }

        let text = run_ok(&store, &["usage", "--since", "1d"]).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "       questions  prompt tokens  answer tokens  estimated  cost",
                "total          1              0              0          0     -"
            ]
        );

        let text = run_ok(&store, &["usage", "--by", "model"]).await;
        assert!(text.lines().all(|line| line.len() == text.lines().next().unwrap().len()), "{text}");
        assert!(text.contains("$3.000000"), "{text}");
    }

    async fn commands_report_a_database_that_was_not_migrated(store: FreshStore) {
        for command in [&["conversations", "list"][..], &["usage"], &["conversations", "export"]] {
            let error = run_failing(&store, 1, command).await;
            assert!(error.contains("migrate") && error.contains("DATABASE_URL"), "{error}");
        }

        let file = store.url().trim_start_matches("sqlite://");
        assert!(store.kind() == StoreKind::Postgres || !fs::exists(file).unwrap());

        store.execute("CREATE TABLE something_else (id INTEGER)").await;
        let error = run_failing(&store, 1, &["conversations", "list"]).await;
        assert!(error.contains("resume-chatbot migrate"), "{error}");
    }
}

#[tokio::test]
async fn invalid_durations_are_rejected() {
    let expect_invalid = async |arguments: &[&str]| {
        let output = run_command(arguments, &[]).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("write 90s, 30m, 24h, 7d or 2w"), "{output:?}");
    };
    expect_invalid(&["usage", "--since", "soon"]).await;
    expect_invalid(&["conversations", "list", "--since", "7 years"]).await;
    expect_invalid(&["conversations", "delete", "--older-than", "1.5d"]).await;
    expect_invalid(&["healthcheck", "--timeout", "x"]).await;
}

//! What the owner reads and deletes from the command line, while the server runs.

use std::fs;

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{AS_IT_FAILS, Chat, until_stored};
use crate::support::server::cli::{converse, refusal, run, told, told_json};
use crate::support::server::process::run_to_end;
use crate::support::stores::fresh_store::{FreshStore, Store};
use crate::support::upstream::request::Request;
use crate::support::upstream::script::Script;

/// The ids that a listing shows, in its order.
fn ids(listing: &Value) -> Vec<&str> {
    listing["conversations"].as_array().unwrap().iter().filter_map(|it| it["id"].as_str()).collect()
}

/// Makes a conversation look as if it had last been seen so many days ago.
async fn age(store: &FreshStore, id: &str, days: i64) {
    let span = days * 86_400_000;
    let sessions =
        format!("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - {span} WHERE id = '{id}'");
    let turns = format!("UPDATE turns SET asked_at_ms = asked_at_ms - {span} WHERE session_id = '{id}'");
    store.execute(&sessions).await;
    store.execute(&turns).await;
}

fn bad_questions_fail(request: &Request) -> Script {
    if request.question() == "Bad?" { Script::refusal(500, "no") } else { Script::new() }
}

const LIST: [&str; 3] = ["conversations", "list", "--json"];

fn list_with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    LIST.iter().chain(more).copied().collect()
}

on_both_stores! {
    async fn conversations_are_listed_newest_first_in_pages_and_without_their_words(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        chat.upstream.always(Script::of(&["answer", "marker"]).usage(100, 20, 0.25));
        let first = converse(&chat, &["A marker?", "Another marker?"]).await;
        let second = converse(&chat, &["A third marker?"]).await;
        let silent = converse(&chat, &[]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;

        let listing = told_json(&store, &LIST).await;
        assert_eq!(ids(&listing), [second.as_str(), &first]);
        let oldest = &listing["conversations"][1];
        assert_eq!(oldest["questions"], 2);
        assert_eq!((&oldest["prompt_tokens"], &oldest["completion_tokens"]), (&json!(200), &json!(40)));
        assert_eq!((&oldest["cost"], &oldest["unanswered"]), (&json!(0.5), &json!(0)));
        assert_eq!(listing["next"], Value::Null);
        assert_eq!(ids(&told_json(&store, &list_with(&["--all"])).await).first(), Some(&silent.as_str()));

        let page = told_json(&store, &list_with(&["--limit", "1"])).await;
        assert_eq!((ids(&page), &page["next"]), (vec![second.as_str()], &json!(second)));
        let page = told_json(&store, &list_with(&["--limit", "1", "--before", &second])).await;
        assert_eq!((ids(&page), &page["next"]), (vec![first.as_str()], &Value::Null));

        let text = told(&store, &["conversations", "list"]).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[2].starts_with(&first) && lines[2].ends_with("2           0     240  $0.500000"), "{text}");
        assert!(!text.contains("marker"), "{text}");
        let output = run(&store, &["conversations", "list", "--limit", "1"]).await;
        assert!(output.stderr.contains(&format!("--before {second}")), "{output:?}");

        age(&store, &first, 3).await;
        assert_eq!(ids(&told_json(&store, &list_with(&["--since", "2d"])).await), [second.as_str()]);
        assert_eq!(ids(&told_json(&store, &list_with(&["--since", "1w"])).await).len(), 2);
    }

    async fn what_went_unanswered_is_found(store: FreshStore) {
        let chat = Chat::on(&store, &AS_IT_FAILS).await;
        chat.upstream.answer_with(bad_questions_fail);
        converse(&chat, &["Works?"]).await;
        let failed = converse(&chat, &["Works too?", "Bad?"]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status IN ('complete', 'failed')", 3).await;
        let listing = told_json(&store, &list_with(&["--unanswered"])).await;
        assert_eq!(ids(&listing), [failed.as_str()]);
        let found = &listing["conversations"][0];
        assert_eq!((&found["questions"], &found["unanswered"]), (&json!(2), &json!(1)));
        let shown = told(&store, &["conversations", "show", &failed]).await;
        assert!(shown.contains("Answer (failed"), "{shown}");
    }

    async fn one_conversation_is_shown_with_times_status_and_tokens(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let words = ["Rust.\n\n", "## 2020-01-01T00:00:00Z Visitor\u{1b}[2J"];
        chat.upstream.always(Script::of(&words).usage(100, 20, 0.25));
        let id = converse(&chat, &["Which language?"]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        let shown = told(&store, &["conversations", "show", &id]).await;
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], format!("# Conversation {id}"));
        assert!(lines[2].ends_with("1 question, 120 tokens, $0.250000."), "{shown}");
        assert!(lines[4].starts_with("## 20") && lines[4].ends_with("Z Visitor"), "{shown}");
        assert_eq!(lines[6], "> Which language?");
        assert!(lines[8].ends_with("Answer (complete, test/model, 100 + 20 tokens, $0.250000)"), "{shown}");
        // What a model wrote neither passes for a heading nor steers the terminal.
        assert_eq!(lines[10..13], ["> Rust.", ">", "> ## 2020-01-01T00:00:00Z Visitor\u{fffd}[2J"]);

        let shown = told_json(&store, &["conversations", "show", &id, "--json"]).await;
        let turn = &shown["turns"][0];
        assert_eq!((&shown["id"], &turn["question"]), (&json!(id), &json!("Which language?")));
        assert_eq!((&turn["answer"], &turn["status"]), (&json!(words.concat()), &json!("complete")));
        assert_eq!((&turn["model"], &turn["cost"]), (&json!("test/model"), &json!(0.25)));
        assert!(turn["asked_at"].as_str() <= turn["answered_at"].as_str(), "{turn}");

        let nobody = "01900000-0000-7000-8000-000000000000";
        let error = refusal(&store, 1, &["conversations", "show", nobody]).await;
        assert!(error.contains(&format!("there is no conversation {nobody}")), "{error}");
        let error = refusal(&store, 2, &["conversations", "show", "42"]).await;
        assert!(error.contains("not the id of a conversation"), "{error}");
    }

    async fn conversations_are_deleted_under_a_running_server(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.visitor.ask_and_hear("Here?").await;
        let (old, other) = (converse(&chat, &["Old?"]).await, converse(&chat, &["Other?", "More?"]).await);
        let kept = converse(&chat, &["Kept?"]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 5).await;
        age(&store, &old, 40).await;

        // Nothing goes without a yes, or with one wrong id.
        let delete = ["conversations", "delete"];
        let with = |more: &[&'static str]| delete.iter().chain(more).copied().collect::<Vec<_>>();
        let error = refusal(&store, 2, &["conversations", "delete", &other]).await;
        assert!(error.contains("--yes"), "{error}");
        let nobody = "01900000-0000-7000-8000-000000000000";
        let error = refusal(&store, 1, &["conversations", "delete", "--yes", &other, nobody]).await;
        assert!(error.contains(nobody), "{error}");
        refusal(&store, 2, &delete).await;
        let looked = told(&store, &with(&["--older-than", "30d", "--dry-run"])).await;
        assert_eq!(looked, "1 conversation with 1 question would be deleted\n");
        assert_eq!(store.number("SELECT count(*) FROM sessions").await, 4);

        let deleted = told(&store, &with(&["--older-than", "30d", "--yes"])).await;
        assert_eq!(deleted, "1 conversation with 1 question deleted\n");
        let here = session.session_id.as_str();
        let deleted = told_json(&store, &["conversations", "delete", "-y", "--json", &other, here]).await;
        assert_eq!(deleted, json!({"conversations": 2, "questions": 3, "dry_run": false}));
        assert_eq!(store.texts("SELECT CAST(id AS TEXT) FROM sessions").await, [kept.as_str()]);
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 2);

        // What is gone from an SQLite file is not left lying in it.
        if store.store() == Store::Sqlite {
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            let kept = fs::read(store.url().trim_start_matches("sqlite://")).unwrap();
            let holds = |words: &str| kept.windows(words.len()).any(|bytes| bytes == words.as_bytes());
            assert!(holds("Kept?") && !holds("Old?") && !holds("Other?"), "deleted words are in the file");
        }

        // The connection whose conversation is gone is told so; the server goes on.
        chat.visitor.ask("Still here?").await;
        chat.visitor.hear_error("SESSION_NOT_FOUND").await;
        converse(&chat, &["A new one?"]).await;
        let none = told(&store, &with(&["--older-than", "30d"])).await;
        assert_eq!(none, "0 conversations with 0 questions deleted\n");
    }

    async fn usage_adds_up(store: FreshStore) {
        let chat = Chat::on(&store, &AS_IT_FAILS).await;
        chat.upstream.answer_with(|request| match request.question() {
            question if question.starts_with("Big") => {
                Script::of(&["Yes"]).model("test/big").usage(1000, 50, 1.5)
            }
            "Free?" => Script::of(&["No"]).usage(10, 1, None),
            _ => bad_questions_fail(request),
        });
        let id = converse(&chat, &["Big?", "Big again?", "Free?"]).await;
        converse(&chat, &["Bad?"]).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status IN ('complete', 'failed')", 4).await;
        age(&store, &id, 2).await;

        let by = async |group: &str| told_json(&store, &["usage", "--json", "--by", group]).await;
        let days = by("day").await;
        let groups = days["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 2, "{days}");
        assert!(groups[0]["group"].as_str() < groups[1]["group"].as_str(), "{days}");
        assert_eq!((&groups[0]["questions"], &groups[0]["cost"]), (&json!(3), &json!(3.0)));
        let statuses = by("status").await;
        assert_eq!((&statuses["groups"][0]["group"], &statuses["groups"][1]["group"]), (&json!("complete"), &json!("failed")));
        let models = by("model").await;
        let big = &models["groups"][0];
        assert_eq!((&big["group"], &big["prompt_tokens"], &big["completion_tokens"]), (&json!("test/big"), &json!(2000), &json!(100)));
        for report in [&days, &statuses, &models] {
            let total = &report["total"];
            assert_eq!((&total["questions"], &total["cost"]), (&json!(4), &json!(3.0)));
            assert_eq!((&total["prompt_tokens"], &total["completion_tokens"]), (&json!(2010), &json!(101)));
        }
        let text = told(&store, &["usage", "--since", "1d"]).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["       questions  prompt tokens  answer tokens  cost", "total          1              0              0     -"]);
        let text = told(&store, &["usage", "--by", "model"]).await;
        assert!(text.lines().all(|line| line.len() == text.lines().next().unwrap().len()), "{text}");
        assert!(text.contains("$3.000000"), "{text}");
    }

    async fn a_database_that_was_not_made_is_told_so(store: FreshStore) {
        for command in [&["conversations", "list"][..], &["usage"], &["conversations", "export"]] {
            let error = refusal(&store, 1, command).await;
            assert!(error.contains("migrate") && error.contains("DATABASE_URL"), "{error}");
        }
        let file = store.url().trim_start_matches("sqlite://");
        assert!(store.store() == Store::Postgres || !fs::exists(file).unwrap());
        store.execute("CREATE TABLE something_else (id INTEGER)").await;
        let error = refusal(&store, 1, &["conversations", "list"]).await;
        assert!(error.contains("resume-chatbot migrate"), "{error}");
    }
}

#[tokio::test]
async fn spans_of_time_that_are_none_are_refused() {
    let wrong = async |arguments: &[&str]| {
        let output = run_to_end(arguments, &[]).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("write 90s, 30m, 24h, 7d or 2w"), "{output:?}");
    };
    wrong(&["usage", "--since", "soon"]).await;
    wrong(&["conversations", "list", "--since", "7 years"]).await;
    wrong(&["conversations", "delete", "--older-than", "1.5d"]).await;
    wrong(&["healthcheck", "--timeout", "x"]).await;
}

//! The test that `docs/api_reference.md` has every field of every message, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::messages::{MessageType, Sender, Wire};

const REFERENCE: &str = include_str!("../../../docs/api_reference.md");

/// The fields of a schema as the reference writes them: `limits.remaining`, and `id?` for one that may be absent.
fn fields(schema: &Value, wire: &Wire, prefix: &str, found: &mut BTreeSet<String>) {
    let required: Vec<&str> = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if prefix.is_empty() && name == "type" {
            continue;
        }
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        let part = field["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let part = part.and_then(|name| wire.parts.get(name)).filter(|part| part["properties"].is_object());
        // An object that is always there is told by its fields alone.
        if part.is_none() || !optional.is_empty() {
            found.insert(format!("{prefix}{name}{optional}"));
        }
        if let Some(part) = part {
            fields(part, wire, &format!("{prefix}{name}."), found);
        }
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The first column of the table under a heading of a chapter.
fn told(chapter: &str, heading: &str) -> Option<BTreeSet<String>> {
    let chapter = REFERENCE.split(&format!("\n## {chapter}\n")).nth(1)?.split("\n## ").next()?;
    let section = chapter.split(&format!("{heading}\n")).nth(1)?;
    let section = section.split("\n###").next()?;
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    Some(rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect())
}

fn check(chapter: &str, heading: &str, schema: &Value, wire: &Wire) {
    let mut expected = BTreeSet::new();
    fields(schema, wire, "", &mut expected);
    let told = told(chapter, heading).unwrap_or_else(|| panic!("no `{heading}` under `{chapter}`"));
    assert_eq!(
        told, expected,
        "the reference (left) and the type (right) of `{heading}` under `{chapter}` differ"
    );
}

#[test]
fn the_reference_has_every_field_of_every_message_and_no_other() {
    let wire = Wire::read();
    for MessageType { sender, kind, schema, .. } in &wire.messages {
        let chapter = match sender {
            Sender::Client => "Client messages",
            Sender::Server => "Server messages",
        };
        check(chapter, &format!("\n### `{kind}`"), schema, &wire);
    }
    let message = &wire.parts["HistoryMessage"];
    check("Server messages", "\n#### Transcript message", message, &wire);
}

#[test]
fn the_reference_has_every_message_and_no_other() {
    let wire = Wire::read();
    for (chapter, sender) in [("Client messages", Sender::Client), ("Server messages", Sender::Server)] {
        let text = REFERENCE.split(&format!("\n## {chapter}\n")).nth(1).unwrap();
        let headings = text.split("\n## ").next().unwrap().lines().filter_map(|it| it.strip_prefix("### `"));
        let told: Vec<&str> = headings.map(|heading| heading.trim_end_matches('`')).collect();
        let sent: Vec<&str> = wire.of(sender).map(|message| message.kind.as_str()).collect();
        let (told, sent): (BTreeSet<_>, BTreeSet<_>) =
            (told.into_iter().collect(), sent.into_iter().collect());
        assert_eq!(told, sent, "the messages under `{chapter}`");
    }
}

/// What a schema says of a bound must be in the row of the field.
#[test]
fn the_reference_names_the_bounds_of_the_types() {
    for (kind, field, bound) in [
        ("resume", "resume_token", "256"),
        ("question", "question", "2,000"),
        ("question", "id?", "64"),
        ("history", "limit?", "1 to 100"),
        ("ping", "id?", "64"),
    ] {
        let section = REFERENCE.split(&format!("\n### `{kind}`\n")).nth(1).unwrap();
        let row = section.lines().find(|line| line.starts_with(&format!("| `{field}`"))).unwrap();
        assert!(row.contains(bound), "{kind}.{field} is bounded by {bound}: {row}");
    }
}

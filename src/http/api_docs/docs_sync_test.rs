//! Tests that `docs/api_reference.md` documents every field of every message, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::messages::{MessageType, Sender, Wire};

const REFERENCE: &str = include_str!("../../../docs/api_reference.md");

/// Adds the fields of a schema in the notation of the reference: `limits.remaining`, and `id?` for
/// an optional field.
fn collect_fields(schema: &Value, wire: &Wire, prefix: &str, found: &mut BTreeSet<String>) {
    let required: Vec<&str> = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if prefix.is_empty() && name == "type" {
            continue;
        }
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        let part = field["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let part = part.and_then(|name| wire.parts.get(name)).filter(|part| part["properties"].is_object());
        // A required object is documented by its fields alone.
        if part.is_none() || !optional.is_empty() {
            found.insert(format!("{prefix}{name}{optional}"));
        }
        if let Some(part) = part {
            collect_fields(part, wire, &format!("{prefix}{name}."), found);
        }
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns the first column of the table under a heading of a chapter.
fn documented_fields(chapter: &str, heading: &str) -> Option<BTreeSet<String>> {
    let chapter = REFERENCE.split(&format!("\n## {chapter}\n")).nth(1)?.split("\n## ").next()?;
    let section = chapter.split(&format!("{heading}\n")).nth(1)?;
    let section = section.split("\n###").next()?;
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    Some(rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect())
}

fn check(chapter: &str, heading: &str, schema: &Value, wire: &Wire) {
    let mut expected = BTreeSet::new();
    collect_fields(schema, wire, "", &mut expected);
    let documented =
        documented_fields(chapter, heading).unwrap_or_else(|| panic!("no `{heading}` under `{chapter}`"));
    assert_eq!(
        documented, expected,
        "the reference (left) and the type (right) of `{heading}` under `{chapter}` differ"
    );
}

#[test]
fn reference_documents_exactly_the_fields_of_every_message() {
    let wire = Wire::from_types();
    for MessageType { sender, kind, schema, .. } in &wire.messages {
        let chapter = match sender {
            Sender::Client => "Client messages",
            Sender::Server => "Server messages",
            Sender::Stream => "Event stream",
        };
        check(chapter, &format!("\n### `{kind}`"), schema, &wire);
    }
    let message = &wire.parts["HistoryMessage"];
    check("Server messages", "\n#### Transcript message", message, &wire);
}

#[test]
fn reference_documents_exactly_the_messages() {
    let wire = Wire::from_types();
    for (chapter, sender) in [
        ("Client messages", Sender::Client),
        ("Server messages", Sender::Server),
        ("Event stream", Sender::Stream),
    ] {
        let text = REFERENCE.split(&format!("\n## {chapter}\n")).nth(1).unwrap();
        let headings =
            text.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("### `"));
        let documented: Vec<&str> = headings.map(|heading| heading.trim_end_matches('`')).collect();
        let sent: Vec<&str> = wire.messages_from(sender).map(|message| message.kind.as_str()).collect();
        let (documented, sent): (BTreeSet<_>, BTreeSet<_>) =
            (documented.into_iter().collect(), sent.into_iter().collect());
        assert_eq!(documented, sent, "the messages under `{chapter}`");
    }
}

#[test]
fn reference_states_the_bounds_of_fields() {
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

//! Replaces what differs between runs (ids, times, ports, durations) by placeholders.

use serde_json::Value;

/// Characters between the words of a line.
const DELIMITERS: &[char] = &[' ', '"', '\'', ',', ';', '(', ')', '[', ']', '{', '}', '/', '|'];

/// Months, as the log abbreviates them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Normalizes one line of output.
pub(super) fn line(text: &str) -> String {
    if text.starts_with('{')
        && let Ok(mut json) = serde_json::from_str(text)
    {
        value(&mut json);
        return json.to_string();
    }
    if let Some((header @ ("date" | "content-length"), _)) = text.split_once(": ") {
        return format!("{header}: <varies>");
    }
    let text = without_log_time(text);
    let mut normalized = String::new();
    for part in text.split_inclusive(DELIMITERS) {
        let word = part.trim_end_matches(DELIMITERS);
        let delimiter = part.strip_prefix(word).unwrap_or_default();
        // The full stop at the end of a sentence is not part of the word.
        let (word, stop) = word.strip_suffix('.').map_or((word, ""), |word| (word, "."));
        normalized += &(replacement(word) + stop + delimiter);
    }
    let mut normalized = without_milliseconds(&normalized);
    // A release may contain any number of migrations.
    while normalized.contains("<migration>, <migration>") {
        normalized = normalized.replace("<migration>, <migration>", "<migration>");
    }
    normalized
}

/// Replaces numbers of milliseconds.
fn without_milliseconds(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let is_duration = |index: usize| {
        let is_number = words[index].parse::<u64>().is_ok();
        is_number && words.get(index + 1).is_some_and(|unit| unit.trim_end_matches([',', '.']) == "ms")
    };
    let replaced = (0..words.len()).map(|index| if is_duration(index) { "<duration>" } else { words[index] });
    replaced.collect::<Vec<_>>().join(" ")
}

/// Removes the time in front of a line of the human-readable log.
fn without_log_time(text: &str) -> &str {
    let mut words = text.splitn(4, ' ');
    match (words.next(), words.nth(1), words.next()) {
        (Some(month), Some(time), Some(rest)) if MONTHS.contains(&month) && time.contains(':') => rest,
        _ => text,
    }
}

fn replacement(word: &str) -> String {
    let is_hex = |text: &str| text.chars().all(|letter| letter.is_ascii_hexdigit());
    let is_digits = |text: &str| text.chars().all(|letter| letter.is_ascii_digit());
    let hyphens: Vec<usize> = word.match_indices('-').map(|(position, _)| position).collect();
    if word.len() == 36 && hyphens == [8, 13, 18, 23] && is_hex(&word.replace('-', "")) {
        return "<id>".to_owned();
    }
    if word.len() == 64 && is_hex(word) {
        return "<token>".to_owned();
    }
    if word.len() >= 20 && word.ends_with('Z') && word.get(4..5) == Some("-") && word.get(10..11) == Some("T")
    {
        return "<time>".to_owned();
    }
    if word.len() == 14 && is_digits(word) {
        return "<migration>".to_owned();
    }
    match word.split_once(':') {
        Some(("127.0.0.1", port)) if is_digits(port) => "127.0.0.1:<port>".to_owned(),
        _ => word.to_owned(),
    }
}

/// Normalizes a JSON value: numbers under keys that name a duration, and strings like words of a
/// line.
pub(super) fn value(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, field) in fields {
                if field.is_number() && (name.ends_with("_ms") || name.ends_with("_s")) {
                    *field = Value::from("<duration>");
                }
                value(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(value),
        Value::String(text) => *text = line(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn only_what_differs_between_runs_is_replaced() {
    assert_eq!(
        line("a 01a20a97-7704-71e3-9386-2c9cb602c5cf, 2026-11-23T22:47:08Z  b."),
        "a <id>, <time>  b."
    );
    assert_eq!(
        line("Nov 23 21:52:19.767 INFO at, address: 127.0.0.1:80"),
        "INFO at, address: 127.0.0.1:<port>"
    );
    assert_eq!(line("x http://127.0.0.1:8080"), "x http://127.0.0.1:<port>");
    assert_eq!(line("applied: 20261123000001, 20261125000001"), "applied: <migration>");
    assert_eq!(line("pending migrations: 2"), "pending migrations: 2");
    assert_eq!(line("after 120 ms, of 250 ms"), "after <duration> ms, of <duration> ms");
    assert_eq!(line("content-length: 7"), "content-length: <varies>");
    let json = r#"{"a":{"latency_ms":7.9,"tokens":3},"id":"01a20a97-7704-71e3-9386-2c9cb602c5cf"}"#;
    assert_eq!(line(json), r#"{"a":{"latency_ms":"<duration>","tokens":3},"id":"<id>"}"#);
}

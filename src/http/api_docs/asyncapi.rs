//! The AsyncAPI document: the channel, every message, and the replies to each.

use serde_json::{Map, Value, json};

use super::messages::{MessageType, Sender, Wire, reference, set};
use super::{CONTACT, LICENCE, VERSION};
use crate::protocol::close_codes::{CLOSE_CODES, CloseReason};
use crate::protocol::error_codes::ERROR_CODES;
use crate::protocol::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use crate::settings::PublicUrl;

/// The replies to each client message, except `error`.
const REPLIES: &[(&str, &[&str])] = &[
    ("start", &["session"]),
    ("resume", &["session", "queued", "thinking", "delta", "reset", "notice", "done"]),
    ("question", &["session", "accepted", "queued", "thinking", "delta", "reset", "notice", "done"]),
    ("cancel", &["done"]),
    ("regenerate", &["accepted", "queued", "thinking", "delta", "reset", "notice", "done"]),
    ("feedback", &["feedback_saved"]),
    ("forget", &["done", "forgotten"]),
    ("history", &["history"]),
    ("ping", &["pong"]),
];

/// Returns the document.
pub(super) fn document(public_url: Option<&PublicUrl>) -> Value {
    let wire = Wire::from_types();
    let schemas: Map<String, Value> =
        wire.schemas().into_iter().map(|(name, schema)| (name, isolate_references(schema))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Resume Chatbot",
            "version": VERSION,
            "description": description(),
            "contact": { "name": CONTACT },
            "license": { "name": LICENCE },
            "tags": [{ "name": "chat", "description": "Chat with a resume" }],
        },
        "defaultContentType": "application/json",
        "servers": servers(public_url),
        "channels": channels(&wire),
        "operations": operations(&wire),
        "components": { "schemas": schemas, "messages": messages(&wire) },
        "x-error-codes": error_codes(),
        "x-close-codes": close_codes(),
    })
}

fn servers(public_url: Option<&PublicUrl>) -> Value {
    json!({
        "chat": server(public_url, ["ws", "wss"], "The deployed server; `ws` without TLS, as on a development machine"),
        "stream": server(public_url, ["http", "https"], "The same server; `http` without TLS"),
    })
}

/// Returns a server of a protocol, which is given without and with TLS.
fn server(public_url: Option<&PublicUrl>, protocol: [&str; 2], description: &str) -> Value {
    let [plain, encrypted] = protocol;
    let Some(url) = public_url else {
        return json!({
            "host": "{host}",
            "protocol": encrypted,
            "description": description,
            "variables": { "host": { "default": "127.0.0.1:8080", "description": "Host and optional port" } },
        });
    };
    let authority = url.origin().split_once("://").map_or("", |(_, authority)| authority);
    let mut server = json!({
        "host": authority,
        "protocol": if url.is_https() { encrypted } else { plain },
        "description": "This server",
    });
    if !url.path_prefix().is_empty() {
        set(&mut server, "pathname", json!(url.path_prefix()));
    }
    server
}

fn channels(wire: &Wire) -> Value {
    let messages = |senders: &[Sender]| -> Map<String, Value> {
        let described = wire.messages.iter().filter(|message| senders.contains(&message.sender));
        described
            .map(|message| {
                (message.name.clone(), json!({ "$ref": format!("#/components/messages/{}", message.name) }))
            })
            .collect()
    };
    json!({
        "chat": {
            "address": "/ws/chat",
            "title": "Chat",
            "description": "A connection belongs to one session. A session may span several connections.",
            "servers": [{ "$ref": "#/servers/chat" }],
            "messages": messages(&[Sender::Client, Sender::Server]),
            "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0", "headers": {
                "type": "object",
                "properties": { "Sec-WebSocket-Protocol": { "type": "string", "const": SUBPROTOCOL } },
            }}},
        },
        "stream": {
            "address": "/sse/chat",
            "title": "Event stream",
            "description": "The same messages as server-sent events. The body of the request that opens the \
                stream may contain the first client messages, one per line.",
            "servers": [{ "$ref": "#/servers/stream" }],
            "messages": messages(&[Sender::Server, Sender::Stream]),
        },
        "frames": {
            "address": "/sse/chat/{connection_id}",
            "title": "Frames for an event stream",
            "description": "Client messages, one per line. Their replies arrive on the stream.",
            "servers": [{ "$ref": "#/servers/stream" }],
            "parameters": { "connection_id": { "description": "The id from the `connected` event" } },
            "messages": messages(&[Sender::Client]),
        },
    })
}

fn description() -> String {
    format!(
        "Visitors of a portfolio site chat with a resume. Text frames of one JSON object each, at most \
         {MAX_MESSAGE_BYTES} bytes from a client; unknown fields are ignored; no field is ever `null`, \
         except the `rating` of `feedback`.\n\n\
         A minimal client: connect, send a `question`, append each `delta.text`, stop at `done` or `error`. \
         `x-error-codes` and `x-close-codes` say which requests to retry and when to reconnect. The HTTP \
         endpoints are in `/openapi.json`."
    )
}

fn operations(wire: &Wire) -> Map<String, Value> {
    let channel = json!({ "$ref": "#/channels/chat" });
    let in_channel = |message: &MessageType| in_channel("chat", message);
    let mut operations = Map::new();
    for message in wire.messages_from(Sender::Client) {
        let answers = REPLIES.iter().find(|(kind, _)| *kind == message.kind).map_or(&[][..], |(_, all)| all);
        let answers: Vec<Value> = wire
            .messages_from(Sender::Server)
            .filter(|answer| answer.kind == "error" || answers.contains(&answer.kind.as_str()))
            .map(in_channel)
            .collect();
        let operation = json!({
            "action": "receive",
            "channel": channel,
            "summary": message.summary(),
            "messages": [in_channel(message)],
            "reply": { "channel": channel, "messages": answers },
        });
        operations.insert(message.kind.clone(), operation);
    }
    let all: Vec<Value> = wire.messages_from(Sender::Server).map(in_channel).collect();
    let send = json!({
        "action": "send",
        "channel": channel,
        "summary": "All messages that the server may send",
        "messages": all,
    });
    operations.insert("send".to_owned(), send);
    operations.extend(stream_operations(wire));
    operations
}

/// Returns the operations of the event stream. The replies to each message are those of the
/// WebSocket.
fn stream_operations(wire: &Wire) -> [(String, Value); 2] {
    let operation = |action: &str, channel: &str, summary: &str, senders: &[Sender]| {
        let described = wire.messages.iter().filter(|message| senders.contains(&message.sender));
        let messages: Vec<Value> = described.map(|message| in_channel(channel, message)).collect();
        json!({
            "action": action,
            "channel": { "$ref": format!("#/channels/{channel}") },
            "summary": summary,
            "messages": messages,
        })
    };
    let events = "All messages and events that the server may send over an event stream";
    let frames = "All messages that a client may send to its event stream";
    [
        ("stream".to_owned(), operation("send", "stream", events, &[Sender::Server, Sender::Stream])),
        ("post".to_owned(), operation("receive", "frames", frames, &[Sender::Client])),
    ]
}

fn in_channel(channel: &str, message: &MessageType) -> Value {
    json!({ "$ref": format!("#/channels/{channel}/messages/{}", message.name) })
}

fn messages(wire: &Wire) -> Map<String, Value> {
    let described = wire.messages.iter().map(|message| {
        let examples: Vec<Value> = message
            .examples
            .iter()
            .enumerate()
            .map(|(index, payload)| json!({ "name": format!("{}{}", message.kind, index + 1), "payload": payload }))
            .collect();
        let described = json!({
            "name": message.kind,
            "title": message.name,
            "summary": message.summary(),
            "payload": reference(&message.name),
            "examples": examples,
        });
        (message.name.clone(), described)
    });
    described.collect()
}

fn error_codes() -> Value {
    let rows = ERROR_CODES.iter().map(|entry| {
        json!({
            "code": entry.code,
            "http_status": entry.http_status,
            "retryable": entry.code.is_retryable(),
            "close_code": entry.close_reason.map(CloseReason::code),
            "message": entry.message,
            "when": entry.cause,
            "operator": entry.operator_action,
        })
    });
    rows.collect()
}

fn close_codes() -> Value {
    let rows = CLOSE_CODES.iter().map(|entry| {
        json!({
            "code": entry.code,
            "text": entry.description,
            "when": entry.cause,
            "client": entry.client_action,
        })
    });
    rows.collect()
}

/// Wraps each `$ref` that has sibling fields into `allOf`, because AsyncAPI ignores the siblings.
fn isolate_references(schema: Value) -> Value {
    match schema {
        Value::Array(items) => Value::Array(items.into_iter().map(isolate_references).collect()),
        Value::Object(mut fields) => match fields.remove("$ref") {
            Some(target) if fields.is_empty() => json!({ "$ref": target }),
            Some(target) => {
                fields.insert("allOf".to_owned(), json!([{ "$ref": target }]));
                Value::Object(fields)
            }
            None => Value::Object(
                fields.into_iter().map(|(name, field)| (name, isolate_references(field))).collect(),
            ),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_an_existing_server_message() {
        let wire = Wire::from_types();
        let sent: Vec<&str> =
            wire.messages_from(Sender::Client).map(|message| message.kind.as_str()).collect();
        let listed: Vec<&str> = REPLIES.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(listed, sent);
        for answer in REPLIES.iter().flat_map(|(_, answers)| answers.iter()) {
            assert!(wire.messages_from(Sender::Server).any(|message| message.kind == *answer), "{answer}");
        }
    }
}

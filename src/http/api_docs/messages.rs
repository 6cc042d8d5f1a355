//! The schemas of the wire: every message one object of its own, under its own name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::examples;
use crate::health::HealthReport;
use crate::protocol::client::ClientFrame;
use crate::protocol::server::{ErrorFrame, ServerFrame};

/// Where schemas are, in both documents.
const SCHEMAS: &str = "#/components/schemas/";

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// One type of message.
#[derive(Debug)]
pub(super) struct MessageType {
    /// Who sends it.
    pub(super) sender: Sender,
    /// Its `type`.
    pub(super) kind: String,
    /// The name of its schema: `ClientQuestion`, `ServerDelta`.
    pub(super) name: String,
    /// A plain object: every field of it, and what each is.
    pub(super) schema: Value,
    /// Messages as they are sent.
    pub(super) examples: Vec<Value>,
}

impl MessageType {
    /// What it is for, in a sentence.
    pub(super) fn summary(&self) -> &str {
        self.schema.get("description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// All that both documents are made of.
#[derive(Debug)]
pub(super) struct Wire {
    /// Every message, those of clients first, as the types list them.
    pub(super) messages: Vec<MessageType>,
    /// What messages and HTTP responses refer to, by name.
    pub(super) parts: BTreeMap<String, Value>,
}

impl Wire {
    /// Reads the types.
    pub(super) fn read() -> Self {
        let mut parts = BTreeMap::new();
        collect::<ClientFrame>(&mut parts);
        collect::<ServerFrame>(&mut parts);
        collect::<HealthReport>(&mut parts);
        let client = lift(Sender::Client, &plain(ClientFrame::schema()), &parts);
        let server = lift(Sender::Server, &plain(ServerFrame::schema()), &parts);
        // Their fields are those of messages now; an error alone is also sent as it is, in responses over HTTP.
        let bodies = ["SessionFrame", "DeltaFrame", "DoneFrame"];
        parts.retain(|name, _| !bodies.contains(&name.as_str()));
        parts.insert("ErrorFrame".to_owned(), plain(ErrorFrame::schema()));
        parts.insert("HealthReport".to_owned(), plain(HealthReport::schema()));
        Self { messages: client.into_iter().chain(server).collect(), parts }
    }

    /// The messages of one side.
    pub(super) fn of(&self, sender: Sender) -> impl Iterator<Item = &MessageType> {
        self.messages.iter().filter(move |message| message.sender == sender)
    }

    /// Every schema by name: messages, their parts, and for each side the choice between its messages.
    pub(super) fn schemas(&self) -> Map<String, Value> {
        let mut schemas: Map<String, Value> = self.parts.clone().into_iter().collect();
        for message in &self.messages {
            let mut schema = message.schema.clone();
            set(&mut schema, "examples", json!(message.examples));
            schemas.insert(message.name.clone(), schema);
        }
        for (name, sender) in [("ClientFrame", Sender::Client), ("ServerFrame", Sender::Server)] {
            let each: Vec<Value> = self.of(sender).map(|message| reference(&message.name)).collect();
            schemas.insert(name.to_owned(), json!({ "oneOf": each }));
        }
        schemas
    }
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMAS}{name}") })
}

fn collect<T: ToSchema>(parts: &mut BTreeMap<String, Value>) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    parts.extend(named.into_iter().map(|(name, schema)| (name, plain(schema))));
}

fn plain(schema: RefOr<Schema>) -> Value {
    without_null(serde_json::to_value(schema).unwrap_or_default())
}

/// A field that may be absent is never `null` on this wire, which the derived schemas would allow.
fn without_null(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        Value::Object(fields) => {
            let mut fields: Map<String, Value> =
                fields.into_iter().map(|(name, field)| (name, without_null(field))).collect();
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
                choices.retain(|choice| choice != &json!({ "type": "null" }));
                if let [only] = choices.as_slice() {
                    return only.clone();
                }
            }
            Value::Object(fields)
        }
        other => other,
    }
}

/// Takes the variants of an enum of frames apart.
fn lift(sender: Sender, frames: &Value, parts: &BTreeMap<String, Value>) -> Vec<MessageType> {
    let variants = frames.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let lifted = variants.iter().map(|variant| {
        let schema = flat(variant, parts);
        let kind = schema.pointer("/properties/type/enum/0").and_then(Value::as_str).unwrap_or_default();
        let kind = kind.to_owned();
        let name = format!("{sender:?}{}", camel(&kind));
        let examples = examples::of(sender, &kind);
        MessageType { sender, kind, name, schema, examples }
    });
    lifted.collect()
}

/// One object with all the fields that a variant has, also those of the struct inside it.
fn flat(variant: &Value, parts: &BTreeMap<String, Value>) -> Value {
    let Some(pieces) = variant.get("allOf").and_then(Value::as_array) else { return variant.clone() };
    let mut whole = json!({ "type": "object", "description": variant["description"] });
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for piece in pieces {
        let name = piece.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(SCHEMAS));
        let piece = name.and_then(|name| parts.get(name)).unwrap_or(piece);
        properties.extend(piece["properties"].as_object().cloned().unwrap_or_default());
        required.extend(piece["required"].as_array().cloned().unwrap_or_default());
    }
    set(&mut whole, "properties", Value::Object(properties));
    set(&mut whole, "required", Value::Array(required));
    whole
}

/// Sets a field of an object.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

/// `feedback_saved` as `FeedbackSaved`.
fn camel(kind: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    kind.split('_').map(capital).collect()
}

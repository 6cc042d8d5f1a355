//! The schemas of all messages. Each is one object with its own name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::examples;
use crate::health::HealthReport;
use crate::protocol::client::ClientFrame;
use crate::protocol::event_stream::StreamEvent;
use crate::protocol::server::{ErrorFrame, ServerFrame};

/// The path of schemas in both documents.
const SCHEMAS: &str = "#/components/schemas/";

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
    /// The server, but only over an event stream.
    Stream,
}

/// A message type.
#[derive(Debug)]
pub(super) struct MessageType {
    pub(super) sender: Sender,
    /// The value of `type`.
    pub(super) kind: String,
    /// The name of the schema, such as `ClientQuestion`.
    pub(super) name: String,
    /// The schema: an object with all fields.
    pub(super) schema: Value,
    pub(super) examples: Vec<Value>,
}

impl MessageType {
    /// Returns the description of the message.
    pub(super) fn summary(&self) -> &str {
        self.schema.get("description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The schemas that both documents contain.
#[derive(Debug)]
pub(super) struct Wire {
    /// All messages in the order of the enums: client, server, event stream.
    pub(super) messages: Vec<MessageType>,
    /// Schemas that messages and HTTP responses refer to, by name.
    pub(super) parts: BTreeMap<String, Value>,
}

impl Wire {
    /// Collects the schemas of the protocol types.
    pub(super) fn from_types() -> Self {
        let mut parts = BTreeMap::new();
        collect::<ClientFrame>(&mut parts);
        collect::<ServerFrame>(&mut parts);
        collect::<HealthReport>(&mut parts);
        let client = message_types(Sender::Client, &schema_to_json(ClientFrame::schema()), &parts);
        let server = message_types(Sender::Server, &schema_to_json(ServerFrame::schema()), &parts);
        let stream = message_types(Sender::Stream, &schema_to_json(StreamEvent::schema()), &parts);
        // Their fields are inlined into the messages. An error also stands alone, in HTTP
        // responses.
        let bodies = ["SessionFrame", "DeltaFrame", "DoneFrame"];
        parts.retain(|name, _| !bodies.contains(&name.as_str()));
        parts.insert("ErrorFrame".to_owned(), schema_to_json(ErrorFrame::schema()));
        parts.insert("HealthReport".to_owned(), schema_to_json(HealthReport::schema()));
        Self { messages: client.into_iter().chain(server).chain(stream).collect(), parts }
    }

    /// Returns the messages of one sender.
    pub(super) fn messages_from(&self, sender: Sender) -> impl Iterator<Item = &MessageType> {
        self.messages.iter().filter(move |message| message.sender == sender)
    }

    /// Returns every schema by name: messages, their parts, and one union per sender.
    pub(super) fn schemas(&self) -> Map<String, Value> {
        let mut schemas: Map<String, Value> = self.parts.clone().into_iter().collect();
        for message in &self.messages {
            let mut schema = message.schema.clone();
            set(&mut schema, "examples", json!(message.examples));
            schemas.insert(message.name.clone(), schema);
        }
        for (name, sender) in [
            ("ClientFrame", Sender::Client),
            ("ServerFrame", Sender::Server),
            ("StreamEvent", Sender::Stream),
        ] {
            let each: Vec<Value> =
                self.messages_from(sender).map(|message| reference(&message.name)).collect();
            schemas.insert(name.to_owned(), json!({ "oneOf": each }));
        }
        schemas
    }
}

/// Returns a reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMAS}{name}") })
}

fn collect<T: ToSchema>(parts: &mut BTreeMap<String, Value>) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    parts.extend(named.into_iter().map(|(name, schema)| (name, schema_to_json(schema))));
}

fn schema_to_json(schema: RefOr<Schema>) -> Value {
    without_null(serde_json::to_value(schema).unwrap_or_default())
}

/// Removes `null` from a schema: the derived schemas allow it for optional fields, the protocol
/// does not.
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

/// Returns one message type for each variant of a frame enum.
fn message_types(sender: Sender, frames: &Value, parts: &BTreeMap<String, Value>) -> Vec<MessageType> {
    let variants = frames.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let types = variants.iter().map(|variant| {
        let schema = flatten(variant, parts);
        let kind = schema.pointer("/properties/type/enum/0").and_then(Value::as_str).unwrap_or_default();
        let kind = kind.to_owned();
        let name = format!("{sender:?}{}", to_camel_case(&kind));
        let examples = examples::examples_of(sender, &kind);
        MessageType { sender, kind, name, schema, examples }
    });
    types.collect()
}

/// Returns the schema of a variant with the fields of its inner struct inlined.
fn flatten(variant: &Value, parts: &BTreeMap<String, Value>) -> Value {
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

/// Sets a field of a JSON object.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

/// Converts `feedback_saved` to `FeedbackSaved`.
fn to_camel_case(kind: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    kind.split('_').map(capital).collect()
}

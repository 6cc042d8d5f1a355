//! The OpenAPI document: every endpoint with every status.

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContactBuilder, Content, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder,
    ObjectBuilder, OpenApiBuilder, PathItem, PathsBuilder, Ref, Required, Response, ResponseBuilder, Server,
    Type,
};

use super::event_stream;
use super::examples::{error_response, health};
use super::messages::{Wire, set};
use super::{CONTACT, LICENCE, VERSION};
use crate::domain::error_code::ErrorCode;
use crate::http::content;
use crate::protocol::SUBPROTOCOL;
use crate::settings::PublicUrl;

const DESCRIPTION: &str = "Visitors of a portfolio site chat with a resume over a WebSocket or, where networks \
    block it, over server-sent events.\n\n\
    This document describes the HTTP endpoints and, under Schemas, every message: clients send \
    `ClientFrame`, the server sends `ServerFrame`. [asyncapi.json](asyncapi.json) lists the replies to each \
    message. No field is ever `null`; optional fields may be absent.\n\n\
    Every response carries `X-Request-Id`, the id of the request in the log. Endpoints that accept `GET` also \
    accept `HEAD` and `OPTIONS`; another method is 405 with `Allow`. A request for a host name that is not \
    one of this server is 421.";

const HANDSHAKE: &str = "Opens the WebSocket. Messages are text frames of one JSON object each: `ClientFrame` from \
    the client, `ServerFrame` from the server. A minimal client: send a `question`, append each \
    `delta.text`, stop at `done` or `error`.";

/// The names and descriptions of the endpoint groups.
const TAGS: [(&str, &str); 4] = [
    ("Chat", "The WebSocket, and the event stream that replaces it"),
    ("Health", "For orchestrators and load balancers; probes never cause cost"),
    ("Page", "The chat page and its client module"),
    ("Documents", "The API documents"),
];

/// Returns the document.
pub(super) fn document(public_url: Option<&PublicUrl>) -> Value {
    let info = InfoBuilder::new()
        .title("Resume Chatbot")
        .version(VERSION)
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some(CONTACT)).build()))
        .license(Some(LicenseBuilder::new().name(LICENCE).identifier(Some(LICENCE)).build()));
    let tags = TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    let mut paths = PathsBuilder::new();
    for (path, operation) in operations() {
        paths = paths.path(path, PathItem::new(HttpMethod::Get, operation));
    }
    for (path, method, operation) in event_stream::operations() {
        paths = paths.path(path, PathItem::new(method, operation));
    }
    let document = OpenApiBuilder::new()
        .info(info.build())
        // By default relative to this document, because a proxy may add a path.
        .servers(Some([Server::new(public_url.map_or("./", PublicUrl::as_str))]))
        .paths(paths.build())
        .tags(Some(tags))
        .build();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    set(&mut document, "components", json!({ "schemas": Wire::from_types().schemas() }));
    document
}

fn operations() -> Vec<(&'static str, Operation)> {
    let mut all = vec![
        ("/ws/chat", chat()),
        ("/health", report()),
        ("/health/live", live()),
        ("/health/ready", ready()),
    ];
    all.extend(content::stable_files().into_iter().map(|(path, media_type)| (path, file(path, media_type))));
    for (path, what) in
        [("/openapi.json", "This document"), ("/asyncapi.json", "The WebSocket as AsyncAPI 3.0")]
    {
        let content = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
        let response = response(what).content("application/json", content).build();
        all.push((path, operation("Documents", path, what).response("200", response).build()));
    }
    let what = "Swagger UI for the OpenAPI document";
    let response = response("The page").content("text/html; charset=utf-8", text()).build();
    all.push(("/docs", operation("Documents", "/docs", what).response("200", response).build()));
    all
}

fn chat() -> Operation {
    let handshake = |problem| format!("This address takes WebSocket handshakes, version 13: {problem}.");
    let mut chat = operation("Chat", "/ws/chat", "Open the WebSocket")
        .description(Some(HANDSHAKE))
        .parameters(Some(handshake_headers()))
        .response("101", response("The WebSocket is open").build());
    for (status, when, problem) in [
        ("400", "`Sec-WebSocket-Key` is missing", "unknown WebSocket key"),
        ("426", "Not a WebSocket handshake, or an unsupported version", "no WebSocket UPGRADE header found"),
    ] {
        chat = chat.response(status, error(when, &[(ErrorCode::ValidationError, handshake(problem))]));
    }
    with_admission_errors(chat).build()
}

/// Adds the responses to connections that are not admitted.
pub(super) fn with_admission_errors(operation: OperationBuilder) -> OperationBuilder {
    let crowded = "Too many connections are open from your address. Please close some of them.";
    operation
        .response("403", origin_error())
        .response(
            "429",
            retryable_error(
                "The client address has reached its connection limit",
                &[(ErrorCode::RateLimitExceeded, crowded.to_owned())],
            ),
        )
        .response(
            "503",
            retryable_error(
                "The server is full, or it is shutting down",
                &[default_error(ErrorCode::Overloaded), default_error(ErrorCode::ShuttingDown)],
            ),
        )
}

/// Returns the response to a page of another origin.
pub(super) fn origin_error() -> Response {
    let message = "Pages of this origin may not connect here. The owner can allow it with ALLOWED_ORIGINS.";
    error("The origin is not allowed", &[(ErrorCode::NotAuthorized, message.to_owned())])
}

/// Returns an error response with a `Retry-After` header.
pub(super) fn retryable_error(when: &str, examples: &[(ErrorCode, String)]) -> Response {
    let retry = "Seconds after which to try again";
    let header = HeaderBuilder::new().schema(Some(number())).description(Some(retry)).build();
    response(when)
        .header("Retry-After", header)
        .content("application/json", error_responses(examples))
        .build()
}

fn handshake_headers() -> Vec<Parameter> {
    vec![
        request_header("Upgrade", "Must be `websocket`", "websocket"),
        request_header("Sec-WebSocket-Version", "Must be 13", "13"),
        request_header("Sec-WebSocket-Key", "See RFC 6455", "dGhlIHNhbXBsZSBub25jZQ=="),
        request_header("Sec-WebSocket-Protocol", "The protocol version; optional", SUBPROTOCOL),
        origin_header(),
    ]
}

pub(super) fn origin_header() -> Parameter {
    request_header("Origin", "Sent by browsers; must be allowed", "https://ada.example")
}

pub(super) fn request_header(name: &str, what: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(json!(example)))
        .build()
}

fn report() -> Operation {
    let deep = "Runs every check now instead of returning the latest results";
    let depth = ParameterBuilder::new()
        .name("deep")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(deep))
        .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
        .example(Some(json!(true)));
    let unhealthy = ContentBuilder::new()
        .schema(Some(
            utoipa::openapi::schema::OneOf::builder().item(schema("HealthReport")).item(schema("ErrorFrame")),
        ))
        .examples_from_iter([
            ("database", example("The database is unavailable", health(Some("database")))),
            (
                "silent",
                example(
                    "The health actor does not answer",
                    error_response(ErrorCode::Overloaded, "The health actor does not answer."),
                ),
            ),
        ]);
    operation("Health", "/health", "The health of every component")
        .description(Some("200 if every check is healthy, else 503. Never sends a request to the model."))
        .parameter(depth)
        .response(
            "200",
            response("Every check is healthy")
                .content("application/json", body("HealthReport", health(None)))
                .build(),
        )
        .response(
            "400",
            error(
                "`deep` is not a boolean",
                &[(ErrorCode::ValidationError, "`deep` is `true` or `false`.".to_owned())],
            ),
        )
        .response(
            "503",
            response("A check is unhealthy").content("application/json", unhealthy.build()).build(),
        )
        .build()
}

fn live() -> Operation {
    operation("Health", "/health/live", "Whether the process responds")
        .description(Some("Never depends on the database or the model."))
        .response("200", response("The process responds").content("application/json", status("live")).build())
        .build()
}

fn ready() -> Operation {
    let not_ready = (ErrorCode::Overloaded, "Not ready; /health says why.".to_owned());
    operation("Health", "/health/ready", "Whether the server accepts new visitors")
        .description(Some("200 if `/health` is healthy. Fails as soon as a shutdown begins."))
        .response("200", response("The server is ready").content("application/json", status("ready")).build())
        .response(
            "503",
            error("The server is not ready", &[not_ready, default_error(ErrorCode::ShuttingDown)]),
        )
        .build()
}

fn file(path: &'static str, kind: &str) -> Operation {
    let what = match path {
        "/" => "The chat page".to_owned(),
        "/robots.txt" => "The rules for crawlers".to_owned(),
        other => format!("{other} of the chat page"),
    };
    let is_json = kind.contains("json");
    let content =
        if is_json { ContentBuilder::new().schema(Some(ObjectBuilder::new())).build() } else { text() };
    let response = response("The file").content(kind, content).build();
    operation("Page", path, &what).response("200", response).build()
}

/// Returns an operation whose id is derived from the path, such as `health_ready`.
pub(super) fn operation(tag: &str, path: &str, summary: &str) -> OperationBuilder {
    let words: Vec<&str> =
        path.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let id = if words.is_empty() { "page".to_owned() } else { words.join("_") };
    OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary))
}

/// Returns a response with the common headers.
pub(super) fn response(description: &str) -> ResponseBuilder {
    let id = ObjectBuilder::new().schema_type(Type::String).max_length(Some(128));
    let header = HeaderBuilder::new()
        .schema(Some(id))
        .description(Some("The id from the request if it is well-formed, otherwise a new one"));
    ResponseBuilder::new().description(description).header("X-Request-Id", header.build())
}

pub(super) fn error(description: &str, examples: &[(ErrorCode, String)]) -> Response {
    response(description).content("application/json", error_responses(examples)).build()
}

fn error_responses(examples: &[(ErrorCode, String)]) -> Content {
    let examples = examples.iter().map(|(code, message)| {
        let entry = code.entry();
        (code.as_str(), example(entry.cause, error_response(*code, message)))
    });
    ContentBuilder::new().schema(Some(schema("ErrorFrame"))).examples_from_iter(examples).build()
}

/// Returns a code with its default message.
pub(super) fn default_error(code: ErrorCode) -> (ErrorCode, String) {
    (code, code.entry().message.to_owned())
}

fn body(name: &str, example: Value) -> Content {
    ContentBuilder::new().schema(Some(schema(name))).example(Some(example)).build()
}

fn status(word: &str) -> Content {
    let value = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([word]));
    let object = ObjectBuilder::new().property("status", value).required("status");
    ContentBuilder::new().schema(Some(object)).example(Some(json!({ "status": word }))).build()
}

fn example(summary: &str, value: Value) -> utoipa::openapi::example::Example {
    utoipa::openapi::example::ExampleBuilder::new().summary(summary).value(Some(value)).build()
}

fn schema(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

fn text() -> Content {
    ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build()
}

fn number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}

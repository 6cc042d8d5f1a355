//! The event stream in the OpenAPI document.

use serde_json::json;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{ContentBuilder, HttpMethod, ObjectBuilder, Required, Type};

use super::examples;
use super::openapi::{
    default_error, error, operation, origin_error, origin_header, request_header, response, retryable_error,
    with_admission_errors,
};
use crate::domain::error_code::ErrorCode;
use crate::protocol::MAX_MESSAGE_BYTES;
use crate::protocol::event_stream::{FRAMES_MEDIA_TYPE, MAX_FRAMES_PER_REQUEST, MEDIA_TYPE};

const STREAM: &str = "The response is a stream of server-sent events. The first one is `connected` with the id for \
    `POST /sse/chat/{connection_id}`. Then each message is one event whose data is a `ServerFrame`, and the last \
    event is `close` with the code of a close frame. `accepted`, `delta` and `reset` have an event id, so that \
    `Last-Event-ID` supplies the cursor of a `resume` without one.";

/// Returns the operations of the event stream.
pub(super) fn operations() -> [(&'static str, HttpMethod, Operation); 3] {
    [
        ("/sse/chat", HttpMethod::Get, connect()),
        ("/sse/chat", HttpMethod::Post, connect_with_frames()),
        ("/sse/chat/{connection_id}", HttpMethod::Post, post_frames()),
    ]
}

fn connect() -> Operation {
    let connect = operation("Chat", "/sse/chat", "Open an event stream")
        .description(Some(format!("For `EventSource`, which cannot send frames. {STREAM}")))
        .parameters(Some(stream_headers()))
        .response("200", stream());
    with_admission_errors(connect).build()
}

fn connect_with_frames() -> Operation {
    let close = ParameterBuilder::new()
        .name("close")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Closes the stream when everything that the body asks for is done"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["done"]))));
    let connect = operation("Chat", "/sse/chat", "Open an event stream with its first frames")
        .operation_id(Some("sse_chat_with_frames"))
        .description(Some(format!("{STREAM} With `close=done`, one request is a whole conversation.")))
        .parameter(close)
        .parameters(Some(stream_headers()))
        .request_body(Some(frames()))
        .response("200", stream());
    let invalid = "`close` is not `done`, or the body is not UTF-8";
    let message = "`close` is `done` or absent.".to_owned();
    with_admission_errors(connect)
        .response("400", error(invalid, &[(ErrorCode::ValidationError, message)]))
        .response("408", late_body())
        .response("413", too_large())
        .build()
}

fn post_frames() -> Operation {
    let id = ParameterBuilder::new()
        .name("connection_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The id from the `connected` event"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(json!(examples::CONNECTION)));
    let message = "The body is not UTF-8.".to_owned();
    operation("Chat", "/sse/chat/frames", "Send frames to an open event stream")
        .description(Some("The replies arrive on the stream. Either all frames are accepted or none."))
        .parameter(id)
        .parameter(origin_header())
        .request_body(Some(frames()))
        .response("202", response("The frames are passed on to the session").build())
        .response("400", error("The body is not UTF-8", &[(ErrorCode::ValidationError, message)]))
        .response("403", origin_error())
        .response("404", error("No open stream has this id", &[default_error(ErrorCode::ConnectionNotFound)]))
        .response("408", late_body())
        .response("413", too_large())
        .response(
            "503",
            retryable_error(
                "Earlier frames still wait for the session",
                &[default_error(ErrorCode::Overloaded)],
            ),
        )
        .build()
}

fn stream_headers() -> [Parameter; 2] {
    let last = "The id of the last event that was received";
    [request_header("Last-Event-ID", last, &examples::last_event_id()), origin_header()]
}

fn stream() -> utoipa::openapi::Response {
    let events = ContentBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(json!(examples::event_stream())));
    response("The stream is open").content(MEDIA_TYPE, events.build()).build()
}

fn frames() -> RequestBody {
    let what = format!(
        "At most {MAX_FRAMES_PER_REQUEST} frames (`ClientFrame`) of {MAX_MESSAGE_BYTES} bytes, one per line. The \
         `Content-Type` does not matter; with `text/plain`, browsers send no preflight."
    );
    let body = ContentBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(json!(examples::frames())));
    RequestBodyBuilder::new().description(Some(what)).content(FRAMES_MEDIA_TYPE, body.build()).build()
}

fn too_large() -> utoipa::openapi::Response {
    let message = format!(
        "A request has at most {MAX_FRAMES_PER_REQUEST} messages of {MAX_MESSAGE_BYTES} bytes, one per line."
    );
    error("A frame is too long, or there are too many", &[(ErrorCode::MessageTooLong, message)])
}

fn late_body() -> utoipa::openapi::Response {
    let message = "The body did not arrive in time.".to_owned();
    error("The body did not arrive within `MESSAGE_TIMEOUT`", &[(ErrorCode::ValidationError, message)])
}

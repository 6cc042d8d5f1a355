//! `/sse/chat`: a session over server-sent events, for networks that block WebSockets.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use slog::error;

use super::error_response::{Rejection, error, retryable_error};
use super::{AppState, admission, frame_lines, request_id};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::ConnectionId;
use crate::limits::ConnectionGuard;
use crate::protocol::event_stream::{MEDIA_TYPE, StreamEvent, parse_event_id};
use crate::session::connection::event_stream::input::{QueueError, StreamInput, channel};
use crate::session::connection::event_stream::output::EventStream;
use crate::session::connection::slow_consumer::AbortHandle;
use crate::session::connection::socket::{self, SocketState, Transport};

/// The header with which `EventSource` reports the last event that it has received.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Forbids proxies to store, compress or collect the stream.
const UNBUFFERED: [(HeaderName, &str); 2] =
    [(CACHE_CONTROL, "no-store, no-transform"), (HeaderName::from_static("x-accel-buffering"), "no")];

/// The `Retry-After` value while the frames of a connection wait for its session.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
pub(super) struct Options {
    close: Option<CloseOption>,
}

/// When the server closes the stream by itself.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum CloseOption {
    /// When everything that the body asks for is done.
    Done,
}

/// `GET`: opens an event stream without first frames, for `EventSource`.
pub(super) async fn connect(request: HttpRequest, state: Data<AppState>) -> HttpResponse {
    let opened = admission::check_origin(&request, &state)
        .and_then(|()| admission::count_address(&request, &state))
        .and_then(|address_guard| open(&request, &state, address_guard, Vec::new()));
    opened.unwrap_or_else(|response| *response)
}

/// `POST`: opens an event stream with its first frames.
pub(super) async fn connect_with_frames(
    request: HttpRequest,
    options: Result<Query<Options>, actix_web::Error>,
    body: Payload,
    state: Data<AppState>,
) -> HttpResponse {
    let Ok(options) = options else {
        return error(&request, ErrorCode::ValidationError, "`close` is `done` or absent.");
    };
    accept(&request, options.close, body, &state).await.unwrap_or_else(|response| *response)
}

async fn accept(
    request: &HttpRequest,
    close: Option<CloseOption>,
    body: Payload,
    state: &AppState,
) -> Result<HttpResponse, Rejection> {
    admission::check_origin(request, state)?;
    // Before the body, so that the limits apply while it arrives.
    let address_guard = admission::count_address(request, state)?;
    let frames = frame_lines::read(body, state.session.timeouts.message_timeout).await;
    let frames = frames.map_err(|error| Box::new(error.response(request)))?;
    let end = close.map(|CloseOption::Done| StreamInput::End);
    let first = frames.into_iter().map(StreamInput::Frame).chain(end).collect();
    open(request, state, address_guard, first)
}

/// Starts a session and returns the response that streams its events.
fn open(
    request: &HttpRequest,
    state: &AppState,
    address_guard: ConnectionGuard,
    first: Vec<StreamInput>,
) -> Result<HttpResponse, Rejection> {
    // Not before the body has arrived, because a shutdown waits for registered connections.
    let entry = admission::register(request, state)?;
    let internal_error = |what: &'static str, cause: &dyn std::fmt::Display| {
        error!(state.log, "event stream failed"; "step" => what, "cause" => %cause,
            "request_id" => &*request_id::get(request));
        Box::new(error(request, ErrorCode::InternalError, ErrorCode::InternalError.entry().message))
    };
    let id = ConnectionId::generate().map_err(|error| internal_error("system RNG", &error))?;
    let connected = StreamEvent::Connected { connection_id: id.reveal() }.encode();
    let connected = connected.map_err(|error| internal_error("first event", &error))?;
    let admitted = admission::admit(request, state, entry, address_guard, Transport::EventStream);
    let abort_handle = request.conn_data::<Arc<AbortHandle>>().cloned();
    let client = abort_handle.as_ref().map(AbortHandle::abort_on_end);
    let progress = state.watchdog.register(abort_handle);
    let last_event = request.headers().get(LAST_EVENT_ID).and_then(|id| parse_event_id(id.to_str().ok()?));
    let session = admitted.into_session(
        state,
        SocketState {
            transport: Transport::EventStream,
            frame_error: Default::default(),
            progress: Arc::clone(&progress),
            last_event,
        },
    );
    let (input, queue, pongs) = channel(first);
    let directory_entry = state.event_streams.insert(id, queue);
    let events = EventStream::new(socket::start(input, session), connected, pongs, directory_entry, client);
    let mut response = HttpResponse::Ok();
    response.content_type(MEDIA_TYPE);
    UNBUFFERED.into_iter().for_each(|header| _ = response.insert_header(header));
    Ok(response.streaming(progress.track(events)))
}

/// `POST /sse/chat/{connection_id}`: passes frames to the session of an open event stream.
pub(super) async fn post_frames(
    request: HttpRequest,
    id: Path<String>,
    body: Payload,
    state: Data<AppState>,
) -> HttpResponse {
    pass_on(&request, &ConnectionId::from_text(&id), body, &state).await.unwrap_or_else(|response| *response)
}

async fn pass_on(
    request: &HttpRequest,
    id: &ConnectionId,
    body: Payload,
    state: &AppState,
) -> Result<HttpResponse, Rejection> {
    admission::check_origin(request, state)?;
    let not_found = || {
        let code = ErrorCode::ConnectionNotFound;
        Box::new(error(request, code, code.entry().message))
    };
    let queue = state.event_streams.find(id).ok_or_else(not_found)?;
    let frames = frame_lines::read(body, state.session.timeouts.message_timeout).await;
    let frames = frames.map_err(|error| Box::new(error.response(request)))?;
    match queue.push(frames) {
        Ok(()) => Ok(HttpResponse::Accepted().insert_header((CACHE_CONTROL, "no-store")).finish()),
        Err(QueueError::Ended) => Err(not_found()),
        Err(QueueError::Full) => {
            state.session.metrics.session.event_stream_queue_rejections.inc();
            Err(Box::new(retryable_error(request, ErrorCode::Overloaded, RETRY_AFTER_FULL)))
        }
    }
}

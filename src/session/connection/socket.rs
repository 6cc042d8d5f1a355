//! The socket of a session, and its replacement by an event stream. The only file that uses
//! actix-web-actors.
//!
//! That crate is deprecated. To make its replacement possible without touching other files, the
//! rest of the session uses only a context type and a few functions of this file.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorContext, AsyncContext, StreamHandler};
use actix_http::ws::{Codec, Item, OpCode, Parser};
use actix_web::error::PayloadError;
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws::{self, HandshakeError, Message, ProtocolError, WebsocketContext};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use thiserror::Error;

use crate::protocol::client::Cursor;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::event_stream;
use crate::protocol::server::ServerFrame;
use crate::protocol::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use crate::session::actor::SessionActor;
use crate::session::connection::event_stream::input::{InputStream, StreamInput};
use crate::session::connection::frame_guard::{FrameError, FrameErrorCell, FrameGuard};
use crate::session::connection::panic_guard::PanicGuard;
use crate::session::connection::reassembly::MessageFragment;
use crate::session::connection::slow_consumer::{AbortHandle, ConnectionProgress, Watchdog};

/// The context that a session runs in.
pub type SocketContext = WebsocketContext<SessionActor>;

/// The state of the socket that the session reads.
pub struct SocketState {
    pub transport: Transport,
    /// The error that ended the stream of frames, if the frame guard ended it.
    pub frame_error: FrameErrorCell,
    pub progress: Arc<ConnectionProgress>,
    /// The position after the last event that the client of an event stream has received.
    pub last_event: Option<Cursor>,
}

/// How the frames of a connection travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    EventStream,
}

impl Transport {
    /// Returns the name in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
        }
    }

    /// Returns the text that carries a frame.
    fn encode(self, frame: &ServerFrame) -> Result<String, serde_json::Error> {
        match self {
            Self::WebSocket => serde_json::to_string(frame),
            Self::EventStream => event_stream::encode_frame(frame),
        }
    }
}

/// A request that is not a valid WebSocket handshake. The client receives an HTTP response.
#[derive(Debug, Error)]
pub enum UpgradeError {
    /// The method is not GET.
    #[error("{0}")]
    Method(String),
    /// The key is missing or invalid.
    #[error("{0}")]
    Key(String),
    /// The request does not ask for WebSocket version 13.
    #[error("{0}")]
    Protocol(String),
}

impl From<HandshakeError> for UpgradeError {
    fn from(error: HandshakeError) -> Self {
        let problem = error.to_string();
        match error {
            HandshakeError::GetMethodRequired => Self::Method(problem),
            HandshakeError::BadWebsocketKey => Self::Key(problem),
            _ => Self::Protocol(problem),
        }
    }
}

/// Accepts a handshake and starts the session that `create` returns.
///
/// # Errors
/// [`UpgradeError`] if the request is not a valid handshake.
pub fn upgrade<S>(
    request: &HttpRequest,
    payload: S,
    watchdog: &Watchdog,
    message_timeout: Duration,
    create: impl FnOnce(SocketState) -> SessionActor,
) -> Result<HttpResponse, UpgradeError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    let mut response = ws::handshake_with_protocols(request, &[SUBPROTOCOL])?;
    let frame_error: FrameErrorCell = Rc::new(Cell::new(None));
    let payload = FrameGuard::new(payload, message_timeout, Rc::clone(&frame_error));
    let codec = Codec::new().max_size(MAX_MESSAGE_BYTES);
    let progress = watchdog.register(request.conn_data::<Arc<AbortHandle>>().cloned());
    let session = create(SocketState {
        transport: Transport::WebSocket,
        frame_error,
        progress: Arc::clone(&progress),
        last_event: None,
    });
    let guard = PanicGuard::of(&session);
    let output = Box::pin(WebsocketContext::with_codec(session, payload, codec));
    Ok(response.streaming(progress.track(guard.wrap(output))))
}

/// Starts a session that receives `input` instead of the frames of a socket. Returns its output,
/// which consists of WebSocket frames whose texts are complete events.
pub fn start(
    input: InputStream,
    session: SessionActor,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> + Unpin + use<> {
    let guard = PanicGuard::of(&session);
    let output = Box::pin(WebsocketContext::with_factory(stream::pending(), move |ctx| {
        ctx.add_stream(input);
        session
    }));
    guard.wrap(output)
}

/// Sends a frame.
///
/// # Errors
/// The frame cannot be serialized.
pub fn send(
    ctx: &mut SocketContext,
    transport: Transport,
    frame: &ServerFrame,
) -> Result<(), serde_json::Error> {
    ctx.text(transport.encode(frame)?);
    Ok(())
}

/// Sends a WebSocket ping.
pub fn ping(ctx: &mut SocketContext) {
    ctx.ping(b"");
}

/// Sends a close frame and stops the session.
pub fn close(ctx: &mut SocketContext, reason: CloseReason) {
    ctx.close(Some(close_frame(reason)));
    ctx.stop();
}

/// Returns the bytes of a frame and a close frame, for a session that has panicked.
pub(crate) fn final_frames(transport: Transport, frame: &ServerFrame, reason: CloseReason) -> Bytes {
    let mut bytes = BytesMut::new();
    if let Ok(text) = transport.encode(frame) {
        Parser::write_message(&mut bytes, text, OpCode::Text, true, false);
    }
    Parser::write_close(&mut bytes, Some(close_frame(reason)), false);
    bytes.freeze()
}

fn close_frame(reason: CloseReason) -> ws::CloseReason {
    ws::CloseReason { code: reason.code().into(), description: Some(reason.description().into()) }
}

/// Responds to a close frame with the same code, as RFC 6455 recommends, and stops the session.
fn echo_close(ctx: &mut SocketContext, received: Option<ws::CloseReason>) {
    match received {
        Some(ws::CloseReason { code, .. }) => ctx.close(Some(code.into())),
        None => return close(ctx, CloseReason::Normal),
    }
    ctx.stop();
}

impl StreamHandler<Result<Message, ProtocolError>> for SessionActor {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut SocketContext) {
        self.note_activity();
        match item {
            Ok(Message::Text(text)) => self.on_text(&text, ctx),
            Ok(Message::Continuation(item)) => {
                let fragment = match &item {
                    Item::FirstText(bytes) => MessageFragment::FirstText(bytes),
                    Item::FirstBinary(_) => MessageFragment::FirstBinary,
                    Item::Continue(bytes) => MessageFragment::Middle(bytes),
                    Item::Last(bytes) => MessageFragment::Last(bytes),
                };
                self.on_fragment(fragment, ctx);
            }
            Ok(Message::Binary(_)) => self.close(CloseReason::BinaryMessage, ctx),
            Ok(Message::Ping(data)) => ctx.pong(&data),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(received)) => echo_close(ctx, received),
            // The stream would yield the same error forever, so the session must stop.
            Err(error) => match close_reason(self.socket.frame_error.get(), &error) {
                Some(reason) => self.close(reason, ctx),
                None => ctx.stop(),
            },
        }
    }

    /// The client has closed its side without a close frame.
    fn finished(&mut self, ctx: &mut SocketContext) {
        ctx.stop();
    }
}

impl StreamHandler<Result<StreamInput, FrameError>> for SessionActor {
    fn handle(&mut self, input: Result<StreamInput, FrameError>, ctx: &mut SocketContext) {
        self.note_activity();
        match input {
            Ok(StreamInput::Frame(text)) => self.on_text(&text, ctx),
            Ok(StreamInput::Pong) => {}
            Ok(StreamInput::End) => self.close_when_done(ctx),
            Err(_) => self.close(CloseReason::TooManyFrames, ctx),
        }
    }
}

/// Returns the reason to close the connection with after an error of its stream; `None` if the
/// connection is lost.
fn close_reason(frame_error: Option<FrameError>, error: &ProtocolError) -> Option<CloseReason> {
    match (frame_error, error) {
        (Some(FrameError::TooBig), _) | (None, ProtocolError::Overflow) => Some(CloseReason::MessageTooBig),
        (Some(FrameError::MessageTimeout), _) => Some(CloseReason::IdleTimeout),
        (Some(FrameError::RateExceeded), _) => Some(CloseReason::TooManyFrames),
        (Some(FrameError::Disconnected), _) => None,
        // The codec reports reserved bits as an I/O error, distinguished only by its kind.
        (None, ProtocolError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Some(CloseReason::ProtocolViolation)
        }
        // The frame guard accepted the bytes, so the text in them is not UTF-8.
        (None, ProtocolError::Io(_)) => Some(CloseReason::InvalidUtf8),
        (None, _) => Some(CloseReason::ProtocolViolation),
    }
}

/// Adds a stream to the session, whose handler receives the items.
pub fn add_stream<I: 'static>(
    ctx: &mut SocketContext,
    stream: impl Stream<Item = I> + 'static,
) -> actix::SpawnHandle
where
    SessionActor: StreamHandler<I>,
{
    ctx.add_stream(stream)
}

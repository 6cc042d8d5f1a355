//! The socket of a session. The only file that uses actix-web-actors.
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
use futures_util::Stream;
use thiserror::Error;

use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::ServerFrame;
use crate::protocol::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use crate::session::actor::SessionActor;
use crate::session::connection::frame_guard::{FrameError, FrameErrorCell, FrameGuard};
use crate::session::connection::panic_guard::CatchPanic;
use crate::session::connection::reassembly::MessageFragment;
use crate::session::connection::slow_consumer::{AbortHandle, ConnectionProgress, Watchdog};

/// The context that a session runs in.
pub type SocketContext = WebsocketContext<SessionActor>;

/// The state of the socket that the session reads.
pub struct SocketState {
    /// The error that ended the stream of frames, if the frame guard ended it.
    pub frame_error: FrameErrorCell,
    pub progress: Arc<ConnectionProgress>,
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
    let session = create(SocketState { frame_error, progress: Arc::clone(&progress) });
    let (context, request_id) = (Arc::clone(&session.context), Arc::clone(&session.request_id));
    let log = session.log.shared();
    let output = Box::pin(WebsocketContext::with_codec(session, payload, codec));
    let output = CatchPanic::new(output, context, request_id, log);
    Ok(response.streaming(progress.track(output)))
}

/// Sends a frame.
///
/// # Errors
/// The frame cannot be serialized.
pub fn send(ctx: &mut SocketContext, frame: &ServerFrame) -> Result<(), serde_json::Error> {
    ctx.text(serde_json::to_string(frame)?);
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
pub(crate) fn final_frames(frame: &ServerFrame, reason: CloseReason) -> Bytes {
    let mut bytes = BytesMut::new();
    if let Ok(text) = serde_json::to_string(frame) {
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

//! The session's socket: the only file that knows actix-web-actors.
//!
//! The crate is deprecated upstream. A move to its successor must touch nothing else, so what the rest of the session
//! needs of it are a context type and a few functions.

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
use crate::session::SessionActor;
use crate::session::connection::frame_guard::{Broken, BrokenCell, FrameGuard};
use crate::session::connection::panic_guard::Contained;
use crate::session::connection::reassembly::Fragment;
use crate::session::connection::slow_consumer::{Lifeline, Pulse, Watchdog};

/// The context a session runs in.
pub type SocketContext = WebsocketContext<SessionActor>;

/// What a session is told of its connection besides the frames.
pub struct Line {
    /// Why the stream of frames ended, if it was not the client's wish.
    pub broken: BrokenCell,
    /// How far behind its reader is.
    pub pulse: Arc<Pulse>,
}

/// A request that is no WebSocket handshake. The client is told over HTTP.
#[derive(Debug, Error)]
pub enum NotAHandshake {
    /// Another method than GET.
    #[error("{0}")]
    Method(String),
    /// The key is missing or not as it must be.
    #[error("{0}")]
    Key(String),
    /// It does not ask for this protocol in this version.
    #[error("{0}")]
    Protocol(String),
}

impl From<HandshakeError> for NotAHandshake {
    fn from(error: HandshakeError) -> Self {
        let problem = error.to_string();
        match error {
            HandshakeError::GetMethodRequired => Self::Method(problem),
            HandshakeError::BadWebsocketKey => Self::Key(problem),
            _ => Self::Protocol(problem),
        }
    }
}

/// Answers a handshake and starts the session that `make` returns.
///
/// # Errors
/// [`NotAHandshake`].
pub fn upgrade<S>(
    request: &HttpRequest,
    payload: S,
    watchdog: &Watchdog,
    message_timeout: Duration,
    make: impl FnOnce(Line) -> SessionActor,
) -> Result<HttpResponse, NotAHandshake>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    let mut response = ws::handshake_with_protocols(request, &[SUBPROTOCOL])?;
    let broken: BrokenCell = Rc::new(Cell::new(None));
    let payload = FrameGuard::new(payload, message_timeout, Rc::clone(&broken));
    let codec = Codec::new().max_size(MAX_MESSAGE_BYTES);
    let pulse = watchdog.pulse(request.conn_data::<Arc<Lifeline>>().cloned());
    let session = make(Line { broken, pulse: Arc::clone(&pulse) });
    let (surroundings, request_id) = (Arc::clone(&session.surroundings), Arc::clone(&session.request_id));
    let log = session.log_cell();
    let output = Box::pin(WebsocketContext::with_codec(session, payload, codec));
    let output = Contained::new(output, surroundings, request_id, log);
    Ok(response.streaming(pulse.watch(output)))
}

/// Sends a frame.
pub fn send(ctx: &mut SocketContext, frame: &ServerFrame) -> Result<(), serde_json::Error> {
    ctx.text(serde_json::to_string(frame)?);
    Ok(())
}

/// Sends a WebSocket ping.
pub fn ping(ctx: &mut SocketContext) {
    ctx.ping(b"");
}

/// Sends a close frame and ends the session.
pub fn close(ctx: &mut SocketContext, reason: CloseReason) {
    ctx.close(Some(told(reason)));
    ctx.stop();
}

/// A frame and a close frame as bytes, for a session that cannot speak for itself any more.
pub(crate) fn last_words(frame: &ServerFrame, reason: CloseReason) -> Bytes {
    let mut bytes = BytesMut::new();
    if let Ok(text) = serde_json::to_string(frame) {
        Parser::write_message(&mut bytes, text, OpCode::Text, true, false);
    }
    Parser::write_close(&mut bytes, Some(told(reason)), false);
    bytes.freeze()
}

fn told(reason: CloseReason) -> ws::CloseReason {
    ws::CloseReason { code: reason.code().into(), description: Some(reason.description().into()) }
}

/// Answers a close frame with the code that it has, as is the custom, and ends the session.
fn answer_close(ctx: &mut SocketContext, said: Option<ws::CloseReason>) {
    match said {
        Some(ws::CloseReason { code, .. }) => ctx.close(Some(code.into())),
        None => return close(ctx, CloseReason::Normal),
    }
    ctx.stop();
}

impl StreamHandler<Result<Message, ProtocolError>> for SessionActor {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut SocketContext) {
        self.client_is_there();
        match item {
            Ok(Message::Text(text)) => self.on_text(&text, ctx),
            Ok(Message::Continuation(item)) => {
                let fragment = match &item {
                    Item::FirstText(bytes) => Fragment::FirstText(bytes),
                    Item::FirstBinary(_) => Fragment::FirstBinary,
                    Item::Continue(bytes) => Fragment::Middle(bytes),
                    Item::Last(bytes) => Fragment::Last(bytes),
                };
                self.on_fragment(fragment, ctx);
            }
            Ok(Message::Binary(_)) => self.leave(CloseReason::BinaryMessage, ctx),
            Ok(Message::Ping(data)) => ctx.pong(&data),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(said)) => answer_close(ctx, said),
            // The stream would yield the same error for ever; nothing but an end will do.
            Err(error) => match self.why_broken(&error) {
                Some(reason) => self.leave(reason, ctx),
                None => ctx.stop(),
            },
        }
    }

    /// The client has closed its side without a close frame.
    fn finished(&mut self, ctx: &mut SocketContext) {
        ctx.stop();
    }
}

impl SessionActor {
    /// The reason to give for a broken stream; `None` when there is nobody to give it to.
    fn why_broken(&self, error: &ProtocolError) -> Option<CloseReason> {
        match (self.broken(), error) {
            (Some(Broken::TooBig), _) | (None, ProtocolError::Overflow) => Some(CloseReason::TooBig),
            (Some(Broken::Unfinished), _) => Some(CloseReason::IdleTooLong),
            (Some(Broken::Flooded), _) => Some(CloseReason::TooManyFrames),
            (Some(Broken::Lost), _) => None,
            // A frame with reserved bits comes as an I/O error too, and is told apart by its kind alone.
            (None, ProtocolError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Some(CloseReason::ProtocolViolation)
            }
            // The guard was content with the bytes, so what failed is the text in them.
            (None, ProtocolError::Io(_)) => Some(CloseReason::InvalidUtf8),
            (None, _) => Some(CloseReason::ProtocolViolation),
        }
    }
}

/// Follows a stream within the session; its items come to the session's handler.
pub fn follow<I: 'static>(
    ctx: &mut SocketContext,
    stream: impl Stream<Item = I> + 'static,
) -> actix::SpawnHandle
where
    SessionActor: StreamHandler<I>,
{
    ctx.add_stream(stream)
}

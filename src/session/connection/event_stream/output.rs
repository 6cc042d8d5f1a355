//! The response body of an event stream: the output of a session as server-sent events.
//!
//! A session with this transport writes each frame as a complete event, so text passes through
//! unchanged. Pings become comments, and the close frame becomes the last event.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::ws::{Codec, Frame, ProtocolError};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio_util::codec::Decoder;

use crate::protocol::close_codes::{CLOSE_CODES, CloseReason};
use crate::protocol::event_stream::{KEEP_ALIVE, StreamEvent};
use crate::session::connection::event_stream::directory::DirectoryEntry;
use crate::session::connection::event_stream::input::PongSender;
use crate::session::connection::slow_consumer::AbortOnEnd;

/// Translates WebSocket frames of a session to bytes of its event stream. A plain value.
pub struct EventTranslator {
    codec: Codec,
}

/// The bytes for some frames.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translated {
    pub events: Bytes,
    /// Whether a ping was among the frames.
    pub has_ping: bool,
    /// Whether the session closed the connection.
    pub has_closed: bool,
}

impl Default for EventTranslator {
    fn default() -> Self {
        // The frames come from this process, so their size needs no limit here.
        Self { codec: Codec::new().client_mode().max_size(usize::MAX) }
    }
}

impl EventTranslator {
    /// Translates complete frames. What follows a close frame is dropped.
    ///
    /// # Errors
    /// The bytes are not frames of a server.
    pub fn translate(&mut self, frames: Bytes) -> Result<Translated, ProtocolError> {
        let mut frames = BytesMut::from(frames);
        let mut translated = Translated::default();
        let mut chunks: Vec<Bytes> = Vec::with_capacity(1);
        while let Some(frame) = self.codec.decode(&mut frames)? {
            match frame {
                Frame::Text(event) => chunks.push(event),
                Frame::Ping(_) => {
                    translated.has_ping = true;
                    chunks.push(Bytes::from_static(KEEP_ALIVE.as_bytes()));
                }
                Frame::Close(close) => {
                    translated.has_closed = true;
                    let code = close.map_or(CloseReason::Normal.code(), |close| close.code.into());
                    chunks.push(close_event(code).into());
                    break;
                }
                Frame::Binary(_) | Frame::Pong(_) | Frame::Continuation(_) => {}
            }
        }
        // While an answer is streamed, a chunk is one event and is not copied.
        translated.events = match <[Bytes; 1]>::try_from(chunks) {
            Ok([event]) => event,
            Err(chunks) => chunks.concat().into(),
        };
        Ok(translated)
    }
}

fn close_event(code: u16) -> String {
    let entry = CLOSE_CODES.iter().find(|entry| entry.code == code);
    // A number and a text of this program can always be serialized.
    StreamEvent::close(entry.map_or(CloseReason::Normal, |entry| entry.reason)).encode().unwrap_or_default()
}

/// The events of a session. Dropping it ends the session.
pub struct EventStream<S> {
    /// The output of the session: WebSocket frames.
    frames: S,
    translator: EventTranslator,
    /// The first event, before the session is polled.
    connected: Option<Bytes>,
    pongs: PongSender,
    /// Whether the last bytes contained a keep-alive comment. The next poll means that the
    /// connection has accepted it.
    is_comment_pending: bool,
    has_closed: bool,
    _entry: DirectoryEntry,
    _abort_on_end: Option<AbortOnEnd>,
}

impl<S> EventStream<S> {
    /// Returns the events of a session that writes `frames`. The first one is `connected`. The
    /// guards live as long as the stream.
    pub fn new(
        frames: S,
        connected: String,
        pongs: PongSender,
        entry: DirectoryEntry,
        abort_on_end: Option<AbortOnEnd>,
    ) -> Self {
        Self {
            frames,
            translator: EventTranslator::default(),
            connected: Some(connected.into()),
            pongs,
            is_comment_pending: false,
            has_closed: false,
            _entry: entry,
            _abort_on_end: abort_on_end,
        }
    }
}

impl<S> Stream for EventStream<S>
where
    S: Stream<Item = Result<Bytes, actix_web::Error>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if let Some(connected) = self.connected.take() {
            return Poll::Ready(Some(Ok(connected)));
        }
        if self.has_closed {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.is_comment_pending) {
            self.pongs.send();
        }
        let Some(frames) = std::task::ready!(Pin::new(&mut self.frames).poll_next(cx)) else {
            return Poll::Ready(None);
        };
        let translated = frames.and_then(|frames| Ok(self.translator.translate(frames)?));
        Poll::Ready(Some(translated.map(|Translated { events, has_ping, has_closed }| {
            self.is_comment_pending = has_ping;
            self.has_closed = has_closed;
            events
        })))
    }
}

#[cfg(test)]
mod tests {
    use actix_http::ws::{CloseCode, OpCode, Parser};

    use super::*;

    fn text(event: &str) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        Parser::write_message(&mut bytes, event, OpCode::Text, true, false);
        bytes.to_vec()
    }

    fn ping() -> Vec<u8> {
        vec![0x89, 0]
    }

    fn close(code: u16) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        Parser::write_close(&mut bytes, Some(CloseCode::from(code).into()), false);
        bytes.to_vec()
    }

    fn translate(frames: &[Vec<u8>]) -> (String, bool, bool) {
        let translated = EventTranslator::default().translate(frames.concat().into()).unwrap();
        let events = String::from_utf8(translated.events.to_vec()).unwrap();
        (events, translated.has_ping, translated.has_closed)
    }

    #[test]
    fn events_pass_through_whatever_their_size() {
        for size in [0, 125, 126, 65_535, 65_536, 1 << 20] {
            let event = "x".repeat(size);
            assert_eq!(translate(&[text(&event)]), (event, false, false), "{size}");
        }
        let long = "y".repeat(70_000);
        assert_eq!(translate(&[text("a"), text(&long), text("b")]).0, format!("a{long}b"));
    }

    #[test]
    fn single_event_is_not_copied() {
        let frames = Bytes::from(text("data: {}\n\n"));
        let within = frames.as_ptr_range();
        let translated = EventTranslator::default().translate(frames).unwrap();
        assert!(within.contains(&translated.events.as_ptr()));
    }

    #[test]
    fn ping_becomes_a_comment() {
        assert_eq!(translate(&[text("a"), ping()]), (format!("a{KEEP_ALIVE}"), true, false));
    }

    #[test]
    fn every_close_code_becomes_the_last_event() {
        for entry in CLOSE_CODES {
            let (events, _, has_closed) = translate(&[text("a"), close(entry.code), text("late")]);
            assert!(has_closed);
            assert_eq!(events, format!("a{}", StreamEvent::close(entry.reason).encode().unwrap()));
        }
    }
}

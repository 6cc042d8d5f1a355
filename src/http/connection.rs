//! An accepted connection: a TCP stream that the watchdog can abort, and that completes the error
//! responses of the HTTP library.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error_head;
use super::middleware::response_headers::ResponseHeaders;
use crate::session::connection::slow_consumer::AbortHandle;

/// The number of unsent bytes that the kernel may buffer for a client. By default it buffers
/// megabytes for each client that has stopped reading. With a smaller value than this, the kernel
/// would wait for data.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// How much longer than the watchdog the kernel waits for a peer that acknowledges nothing. The
/// watchdog closes the connection first, because it counts the connections it closes.
#[cfg(target_os = "linux")]
const KERNEL_EXTRA: Duration = Duration::from_secs(2);

/// Set when a connection becomes a WebSocket, and carries no more responses.
#[derive(Debug, Default)]
pub(super) struct UpgradeMark(AtomicBool);

impl UpgradeMark {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A TCP stream with an [`AbortHandle`].
#[derive(Debug)]
pub(super) struct AbortableStream {
    stream: TcpStream,
    abort_handle: Arc<AbortHandle>,
    upgraded: Arc<UpgradeMark>,
    /// The headers of every response.
    response_headers: Arc<ResponseHeaders>,
    /// The completed error response that is being sent.
    error_response: Option<CompletedResponse>,
}

/// A response that is sent in place of other bytes.
#[derive(Debug)]
struct CompletedResponse {
    bytes: Vec<u8>,
    written: usize,
    /// The number of bytes that it replaces.
    replaced: usize,
}

impl AbortableStream {
    /// Sets the socket options that protect against a peer that stops reading. Returns the stream
    /// and the address of the peer.
    pub(super) fn accept(
        stream: TcpStream,
        slow_reader_timeout: Duration,
        response_headers: Arc<ResponseHeaders>,
    ) -> (Self, Option<SocketAddr>) {
        let peer = stream.peer_addr().ok();
        // With Nagle's algorithm the last delta of each answer would wait 40 ms for a delayed ACK.
        let _ = stream.set_nodelay(true);
        // The watchdog covers systems without this option, and peers that read a little now and
        // then.
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(slow_reader_timeout + KERNEL_EXTRA));
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        #[cfg(not(target_os = "linux"))]
        let _ = slow_reader_timeout;
        let (abort_handle, upgraded) = Default::default();
        (Self { stream, abort_handle, upgraded, response_headers, error_response: None }, peer)
    }

    /// Stores the abort handle and the upgrade mark in the request extensions, where the session and
    /// the middleware find them.
    pub(super) fn attach_handles(&self, extensions: &mut Extensions) {
        extensions.insert(Arc::clone(&self.abort_handle));
        extensions.insert(Arc::clone(&self.upgraded));
    }

    /// Writes the rest of the completed error response. Returns the number of bytes it replaces.
    fn write_error_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        while let Some(response) = self.error_response.take() {
            let rest = response.bytes.get(response.written..).unwrap_or_default();
            if rest.is_empty() {
                return Poll::Ready(Ok(response.replaced));
            }
            let written = Pin::new(&mut *self).write(cx, |stream, cx| stream.poll_write(cx, rest));
            let count = match &written {
                Poll::Ready(Ok(count)) => *count,
                _ => 0,
            };
            self.error_response = Some(CompletedResponse { written: response.written + count, ..response });
            if ready!(written)? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Calls `write`, or fails if the connection is aborted before or while the write is pending.
    fn write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.abort_handle.is_aborted() {
            return Poll::Ready(Err(this.reset_on_drop()));
        }
        let written = write(Pin::new(&mut this.stream), cx);
        if written.is_pending() && this.abort_handle.poll_aborted(cx) {
            return Poll::Ready(Err(this.reset_on_drop()));
        }
        written
    }

    /// Makes the kernel reset the connection when the stream is dropped, and returns the error for
    /// the caller. A graceful close would wait behind the unread data and never reach the peer.
    fn reset_on_drop(&self) -> Error {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        Error::new(ErrorKind::ConnectionAborted, "the peer stopped reading")
    }
}

impl AsyncRead for AbortableStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.abort_handle.is_aborted() {
            return Poll::Ready(Err(this.reset_on_drop()));
        }
        let received = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let has_ended = buffer.filled().len() == received && buffer.remaining() > 0;
        if has_ended && this.abort_handle.aborts_on_end() {
            return Poll::Ready(Err(Error::new(ErrorKind::ConnectionAborted, "the client has gone")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AbortableStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.error_response.is_some() {
            return this.write_error_response(cx);
        }
        let head = if this.upgraded.0.load(Ordering::Relaxed) { None } else { error_head::find(bytes) };
        let Some(start) = head else {
            return Pin::new(this).write(cx, |stream, cx| stream.poll_write(cx, bytes));
        };
        let (before, head) = bytes.split_at_checked(start).unwrap_or((bytes, &[]));
        if !before.is_empty() {
            return Pin::new(this).write(cx, |stream, cx| stream.poll_write(cx, before));
        }
        let bytes = error_head::complete(head, &this.response_headers);
        this.error_response = Some(CompletedResponse { bytes, written: 0, replaced: head.len() });
        this.write_error_response(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

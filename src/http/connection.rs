//! An accepted connection: a TCP stream that the watchdog can cut.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::session::connection::slow_consumer::AbortHandle;

/// Bytes that the system may hold for a client beyond what it has sent already. Without a bound it would hold megabytes
/// for each that has stopped reading; with less the system would wait for us.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// How much longer than the watchdog the system waits for a peer that takes nothing: the watchdog counts whom it ends.
#[cfg(target_os = "linux")]
const LATER: Duration = Duration::from_secs(2);

/// A TCP stream with an [`AbortHandle`].
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    lifeline: Arc<AbortHandle>,
}

impl Connection {
    /// Arms an accepted stream against a peer that stops reading. Also says who the peer is.
    pub(super) fn accept(stream: TcpStream, slow_reader_timeout: Duration) -> (Self, Option<SocketAddr>) {
        let peer = stream.peer_addr().ok();
        // Otherwise the last word of every answer waits 40 ms for an acknowledgement that is itself delayed.
        let _ = stream.set_nodelay(true);
        // Where the system has no such option, and against a peer that reads a little now and then, there is the watchdog.
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(slow_reader_timeout + LATER));
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        (Self { stream, lifeline: Arc::default() }, peer)
    }

    /// Leaves the lifeline where the session of this connection finds it.
    pub(super) fn hand_over_lifeline(&self, extensions: &mut Extensions) {
        extensions.insert(Arc::clone(&self.lifeline));
    }

    /// Writes by `write`, unless the lifeline is cut, now or while this waits.
    fn write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.lifeline.is_aborted() {
            return Poll::Ready(Err(this.cut()));
        }
        let written = write(Pin::new(&mut this.stream), cx);
        if written.is_pending() && this.lifeline.poll_aborted(cx) {
            return Poll::Ready(Err(this.cut()));
        }
        written
    }

    /// Lets the stream end with a reset as soon as it is dropped. An orderly end would wait behind what the peer does not take, and
    /// when the system gives that up in its turn it tells nobody: a peer that only reads would wait for ever.
    fn cut(&self) -> Error {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        Error::new(ErrorKind::ConnectionAborted, "the reader has stopped")
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.lifeline.is_aborted() {
            return Poll::Ready(Err(this.cut()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
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

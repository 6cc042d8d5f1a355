//! A visitor's connection, which may be used well and ended badly.

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long a connection may take to open; the server may hang for some seconds.
const OPENING: Duration = Duration::from_secs(15);

/// How long a frame may take to leave.
const SENDING: Duration = Duration::from_secs(10);

/// Received bytes that the system keeps for a reader who may stop.
const SMALL_BUFFER: usize = 4 * 1024;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Connection(WebSocketStream<TcpStream>);

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A frame.
    Frame(Value),
    /// The end, with the close code if there was one.
    Closed(Option<u16>),
    /// Nothing, for as long as was waited.
    Nothing,
}

impl Connection {
    /// Opens one; `None` when the server is away or refuses.
    pub(crate) async fn open(server: SocketAddr, small_buffer: bool) -> Option<Self> {
        let opening = async {
            let socket = TcpSocket::new_v4().ok()?;
            if small_buffer {
                SockRef::from(&socket).set_recv_buffer_size(SMALL_BUFFER).ok()?;
            }
            let stream = socket.connect(server).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let url = format!("ws://{server}/ws/chat");
            let (socket, _) = tokio_tungstenite::client_async(url, stream).await.ok()?;
            Some(Self(socket))
        };
        timeout(OPENING, opening).await.ok().flatten()
    }

    /// Sends a frame; whether it left.
    pub(crate) async fn say(&mut self, frame: &Value) -> bool {
        matches!(timeout(SENDING, self.0.send(Message::text(frame.to_string()))).await, Ok(Ok(())))
    }

    /// The next frame. Losing the wait loses no frame.
    pub(crate) async fn hear(&mut self, patience: Duration) -> Heard {
        let hearing = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Heard::Frame(serde_json::from_str(&text).unwrap_or_default());
                    }
                    Some(Ok(Message::Close(close))) => {
                        return Heard::Closed(close.map(|close| close.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::Closed(None),
                }
            }
        };
        timeout(patience, hearing).await.unwrap_or(Heard::Nothing)
    }

    /// Ends it as the protocol says.
    pub(crate) async fn close(mut self) {
        let _ = timeout(SENDING, self.0.close(None)).await;
    }

    /// Ends it with a reset.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(self.0.get_ref()).set_linger(Some(Duration::ZERO));
    }

    /// Closes one's own half, and nothing more.
    pub(crate) fn half_close(&self) {
        let _ = SockRef::from(self.0.get_ref()).shutdown(Shutdown::Write);
    }
}

//! A visitor's connection, which may be used well and ended badly.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

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
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    last: Last,
}

/// What came last, for who wonders why nothing comes any more.
#[derive(Debug)]
struct Last {
    /// The type of the last frame.
    kind: String,
    at: Instant,
    /// How many WebSocket pings came since.
    pings: u32,
    /// The last frame that was sent, and when.
    said: Option<(String, Instant)>,
}

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
            let last = Last { kind: "the handshake".to_owned(), at: Instant::now(), pings: 0, said: None };
            Some(Self { socket, last })
        };
        timeout(OPENING, opening).await.ok().flatten()
    }

    /// Sends a frame; whether it left.
    pub(crate) async fn say(&mut self, frame: &Value) -> bool {
        self.last.said = Some((frame["type"].to_string(), Instant::now()));
        matches!(timeout(SENDING, self.socket.send(Message::text(frame.to_string()))).await, Ok(Ok(())))
    }

    /// The next frame. Losing the wait loses no frame.
    pub(crate) async fn hear(&mut self, patience: Duration) -> Heard {
        let hearing = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                        let last = &mut self.last;
                        (last.kind, last.at, last.pings) = (frame["type"].to_string(), Instant::now(), 0);
                        return Heard::Frame(frame);
                    }
                    Some(Ok(Message::Ping(_))) => self.last.pings += 1,
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

    /// What came and was said last, for a report.
    pub(crate) fn last(&self) -> String {
        let Last { kind, at, pings, said } = &self.last;
        let local = self.socket.get_ref().local_addr();
        let said = said.as_ref().map(|(kind, at)| (kind, at.elapsed()));
        format!("{local:?}: heard {kind} {:.1?} ago and {pings} pings since, said {said:?}", at.elapsed())
    }

    /// The next frame that does not only say that the server is there.
    pub(crate) async fn hear_but_pongs(&mut self, patience: Duration) -> Heard {
        let until = Instant::now() + patience;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now())).await {
                Heard::Frame(frame) if frame["type"] == "pong" => {}
                heard => return heard,
            }
        }
    }

    /// Ends it as the protocol says.
    pub(crate) async fn close(mut self) {
        let _ = timeout(SENDING, self.socket.close(None)).await;
    }

    /// Ends it with a reset.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO));
    }

    /// Closes one's own half, and nothing more.
    pub(crate) fn half_close(&self) {
        let _ = SockRef::from(self.socket.get_ref()).shutdown(Shutdown::Write);
    }
}

//! A WebSocket connection that can be ended in every way, proper or not.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The deadline for opening a connection. The server may hang for some seconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// The deadline for sending a frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The receive buffer in bytes of a visitor who may stop reading.
const SMALL_BUFFER: usize = 4 * 1024;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    activity: LastActivity,
}

/// The last frames, to diagnose a connection on which nothing arrives.
#[derive(Debug)]
struct LastActivity {
    /// The type of the last frame received.
    received_type: String,
    received_at: Instant,
    /// The number of WebSocket pings since then.
    pings: u32,
    /// The type of the last frame sent, and when.
    sent: Option<(String, Instant)>,
}

/// The result of waiting for a frame.
#[derive(Debug)]
pub(crate) enum Received {
    /// A frame.
    Frame(Value),
    /// The end of the connection, with the close code if there is one.
    Closed(Option<u16>),
    /// Nothing within the deadline.
    Timeout,
}

impl Connection {
    /// Opens a connection. Returns `None` if the server is unavailable or rejects it.
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
            let activity = LastActivity {
                received_type: "the handshake".to_owned(),
                received_at: Instant::now(),
                pings: 0,
                sent: None,
            };
            Some(Self { socket, activity })
        };
        timeout(OPEN_TIMEOUT, opening).await.ok().flatten()
    }

    /// Sends a frame. Returns whether that succeeded.
    pub(crate) async fn send(&mut self, frame: &Value) -> bool {
        self.activity.sent = Some((frame["type"].to_string(), Instant::now()));
        let sending = self.socket.send(Message::text(frame.to_string()));
        matches!(timeout(SEND_TIMEOUT, sending).await, Ok(Ok(())))
    }

    /// Receives the next frame. Cancelling the wait loses no frame.
    pub(crate) async fn receive(&mut self, deadline: Duration) -> Received {
        let receiving = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                        self.activity.received_type = frame["type"].to_string();
                        self.activity.received_at = Instant::now();
                        self.activity.pings = 0;
                        return Received::Frame(frame);
                    }
                    Some(Ok(Message::Ping(_))) => self.activity.pings += 1,
                    Some(Ok(Message::Close(close))) => {
                        return Received::Closed(close.map(|close| close.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Received::Closed(None),
                }
            }
        };
        timeout(deadline, receiving).await.unwrap_or(Received::Timeout)
    }

    /// Receives the next frame other than `pong`.
    pub(crate) async fn receive_except_pongs(&mut self, deadline: Duration) -> Received {
        let until = Instant::now() + deadline;
        loop {
            match self.receive(until.saturating_duration_since(Instant::now())).await {
                Received::Frame(frame) if frame["type"] == "pong" => {}
                received => return received,
            }
        }
    }

    /// Describes the last frames, for the report.
    pub(crate) fn describe_activity(&self) -> String {
        let LastActivity { received_type, received_at, pings, sent } = &self.activity;
        let local = self.socket.get_ref().local_addr();
        let sent = sent.as_ref().map(|(kind, at)| (kind, at.elapsed()));
        let elapsed = received_at.elapsed();
        format!(
            "{local:?}: received {received_type} {elapsed:.1?} ago and {pings} pings since, sent {sent:?}"
        )
    }

    /// Closes the connection with a close frame.
    pub(crate) async fn close(mut self) {
        let _ = timeout(SEND_TIMEOUT, self.socket.close(None)).await;
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO));
    }

    /// Shuts down the sending half of the connection.
    pub(crate) fn half_close(&self) {
        let _ = SockRef::from(self.socket.get_ref()).shutdown(Shutdown::Write);
    }
}

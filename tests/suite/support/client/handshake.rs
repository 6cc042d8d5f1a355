//! The opening handshake of a WebSocket, by hand, so that tests choose every header and see every refusal whole.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::within;

/// What a client says when it knocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    headers: Vec<(String, String)>,
    path: Option<String>,
    version: Option<String>,
    from: Option<IpAddr>,
    receive_buffer: Option<usize>,
}

/// A handshake that succeeded.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The socket, after the server's headers.
    pub(crate) stream: TcpStream,
    /// Bytes that came with the headers and belong to the first frames.
    pub(crate) early: Vec<u8>,
    /// The server's headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// A handshake that was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The JSON body; a string when it was not JSON.
    pub(crate) body: Value,
}

impl Refusal {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }
}

impl Handshake {
    /// As a program that is no browser opens it: no origin, no subprotocol.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// As a page of this origin.
    pub(crate) fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// Asks for subprotocols, comma-separated.
    pub(crate) fn subprotocol(self, names: &str) -> Self {
        self.header("Sec-WebSocket-Protocol", names)
    }

    /// Adds any header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Knocks at another path than `/ws/chat`.
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Speaks another version of the WebSocket protocol than 13.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// Comes from this address of the machine (`127.0.0.2` and so on, on Linux), for limits that count by address.
    pub(crate) fn coming_from(mut self, address: &str) -> Self {
        let parsed = address.parse();
        self.from = Some(parsed.unwrap_or_else(|error| panic!("{address} is no address: {error}")));
        self
    }

    /// Receives into a buffer of about this many bytes, so that a reader who stops is felt at once.
    pub(crate) fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Knocks.
    pub(crate) async fn open(&self, server: SocketAddr) -> Result<Opened, Refusal> {
        within("the server's answer to the handshake", self.knock(server))
            .await
            .unwrap_or_else(|error| panic!("the connection failed during the handshake: {error}"))
    }

    async fn knock(&self, server: SocketAddr) -> std::io::Result<Result<Opened, Refusal>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        if let Some(bytes) = self.receive_buffer {
            SockRef::from(&socket).set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let key = generate_key();
        stream.write_all(self.request(server, &key).as_bytes()).await?;

        let mut answer = Vec::new();
        let end_of_head = loop {
            if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                stream.read_buf(&mut answer).await? > 0,
                "the server closed during the handshake: {answer:?}"
            );
        };
        let mut rest = answer.split_off(end_of_head);
        let head = String::from_utf8_lossy(&answer).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        if status == 101 {
            let accept = value_of(&headers, "sec-websocket-accept").map(ToOwned::to_owned);
            assert_eq!(
                accept,
                Some(derive_accept_key(key.as_bytes())),
                "the server accepted some other handshake"
            );
            return Ok(Ok(Opened { stream, early: rest, headers }));
        }
        let length = value_of(&headers, "content-length").and_then(|length| length.parse().ok());
        while length.is_none_or(|length: usize| rest.len() < length) {
            if stream.read_buf(&mut rest).await? == 0 {
                break;
            }
        }
        let body = serde_json::from_slice(&rest);
        let body = body.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&rest).into_owned()));
        Ok(Err(Refusal { status, headers, body }))
    }

    fn request(&self, server: SocketAddr, key: &str) -> String {
        let path = self.path.as_deref().unwrap_or("/ws/chat");
        let version = self.version.as_deref().unwrap_or("13");
        // A test's own `Host` takes the place of the usual one.
        let own_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = if own_host { String::new() } else { format!("Host: {server}\r\n") };
        let more: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "GET {path} HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
        )
    }
}

fn value_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
}

//! The WebSocket handshake, done by hand so that tests control every header and see every
//! rejection.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::within;

/// The headers and socket options of a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    headers: Vec<(String, String)>,
    path: Option<String>,
    version: Option<String>,
    local_address: Option<IpAddr>,
    receive_buffer: Option<usize>,
}

/// A successful handshake.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The socket, positioned after the server's headers.
    pub(crate) stream: TcpStream,
    /// Bytes of the first frames that arrived together with the headers.
    pub(crate) early: Vec<u8>,
    /// The server's headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// A rejected handshake.
#[derive(Debug)]
pub(crate) struct Rejection {
    /// The HTTP status code.
    pub(crate) status: u16,
    /// The headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The JSON body, or a string if it is not JSON.
    pub(crate) body: Value,
}

impl Rejection {
    /// Returns the value of a header. `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }
}

impl Handshake {
    /// Creates a handshake without origin and subprotocol, as from a program that is not a browser.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the `Origin` header, as a browser does.
    pub(crate) fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// Requests subprotocols, separated by commas.
    pub(crate) fn subprotocol(self, names: &str) -> Self {
        self.header("Sec-WebSocket-Protocol", names)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a path other than `/ws/chat`.
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Sets a WebSocket version other than 13.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// Binds to this local address, such as `127.0.0.2` on Linux, for limits that count by address.
    pub(crate) fn with_local_address(mut self, address: &str) -> Self {
        let parsed = address.parse();
        self.local_address =
            Some(parsed.unwrap_or_else(|error| panic!("invalid address {address}: {error}")));
        self
    }

    /// Sets the receive buffer size in bytes. With a small one the server notices a slow reader
    /// soon.
    pub(crate) fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Performs the handshake.
    pub(crate) async fn open(&self, server: SocketAddr) -> Result<Opened, Rejection> {
        within("the response to the handshake", self.perform(server))
            .await
            .unwrap_or_else(|error| panic!("the connection failed during the handshake: {error}"))
    }

    async fn perform(&self, server: SocketAddr) -> std::io::Result<Result<Opened, Rejection>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(local_address) = self.local_address {
            socket.bind(SocketAddr::new(local_address, 0))?;
        }
        if let Some(bytes) = self.receive_buffer {
            SockRef::from(&socket).set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let key = generate_key();
        stream.write_all(self.request(server, &key).as_bytes()).await?;

        let mut response = Vec::new();
        let end_of_head = loop {
            if let Some(end) = response.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                stream.read_buf(&mut response).await? > 0,
                "the server closed during the handshake: {response:?}"
            );
        };
        let mut rest = response.split_off(end_of_head);
        let head = String::from_utf8_lossy(&response).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        if status == 101 {
            let accept = value_of(&headers, "sec-websocket-accept").map(ToOwned::to_owned);
            assert_eq!(accept, Some(derive_accept_key(key.as_bytes())), "wrong Sec-WebSocket-Accept");
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
        Ok(Err(Rejection { status, headers, body }))
    }

    fn request(&self, server: SocketAddr, key: &str) -> String {
        let path = self.path.as_deref().unwrap_or("/ws/chat");
        let version = self.version.as_deref().unwrap_or("13");
        // A `Host` header set by the test replaces the default one.
        let own_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = if own_host { String::new() } else { format!("Host: {server}\r\n") };
        let extra_headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "GET {path} HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n{extra_headers}\r\n"
        )
    }
}

fn value_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

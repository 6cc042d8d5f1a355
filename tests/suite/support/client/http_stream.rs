//! A request whose response is read while it arrives, chunk by chunk.

use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::within;

/// A request and the options of its socket.
#[derive(Clone, Debug)]
pub(crate) struct StreamRequest {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    local_address: Option<IpAddr>,
    receive_buffer: Option<usize>,
}

/// A response whose body is being read.
pub(crate) struct StreamResponse {
    /// The status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    stream: TcpStream,
    /// Bytes that are received, but not decoded.
    encoded: Vec<u8>,
    has_ended: bool,
}

impl StreamRequest {
    /// Creates a `GET` request.
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target, b"")
    }

    /// Creates a `POST` request.
    pub(crate) fn post(target: &str, body: &str) -> Self {
        Self::post_bytes(target, body.as_bytes())
    }

    /// Creates a `POST` request whose body need not be text.
    pub(crate) fn post_bytes(target: &str, body: &[u8]) -> Self {
        Self::new("POST", target, body).header("Content-Length", &body.len().to_string())
    }

    /// Creates a `POST` request that announces a longer body than it sends.
    pub(crate) fn unfinished_post(target: &str) -> Self {
        Self::new("POST", target, b"{").header("Content-Length", "100")
    }

    fn new(method: &'static str, target: &str, body: &[u8]) -> Self {
        let (target, body) = (target.to_owned(), body.to_owned());
        Self { method, target, headers: Vec::new(), body, local_address: None, receive_buffer: None }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Binds to this local address, for limits that count by address.
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

    /// Sends the request and reads the head of the response.
    pub(crate) async fn send(&self, server: SocketAddr) -> StreamResponse {
        let what = format!("the response to {} {}", self.method, self.target);
        within(&what, self.exchange(server)).await.unwrap_or_else(|error| panic!("no {what}: {error}"))
    }

    async fn exchange(&self, server: SocketAddr) -> std::io::Result<StreamResponse> {
        let socket = TcpSocket::new_v4()?;
        if let Some(address) = self.local_address {
            socket.bind(SocketAddr::new(address, 0))?;
        }
        if let Some(bytes) = self.receive_buffer {
            SockRef::from(&socket).set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let Self { method, target, body, .. } = self;
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {server}\r\n{headers}\r\n");
        stream.write_all(&[request.as_bytes(), body].concat()).await?;
        let mut received = Vec::new();
        let end_of_head = loop {
            if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(stream.read_buf(&mut received).await? > 0, "the server closed before it responded");
        };
        let encoded = received.split_off(end_of_head);
        let head = String::from_utf8_lossy(&received).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        Ok(StreamResponse {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            headers: lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
            stream,
            encoded,
            has_ended: false,
        })
    }
}

impl StreamResponse {
    /// Returns the value of a header. `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Reads the next chunk of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection is lost within the body.
    pub(crate) async fn next_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let length = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        let is_chunked = self.header("transfer-encoding") == Some("chunked");
        loop {
            if self.has_ended {
                return Ok(None);
            }
            if is_chunked {
                if let Some(chunk) = self.take_chunk() {
                    self.has_ended = chunk.is_empty();
                    return Ok((!self.has_ended).then_some(chunk));
                }
            } else if !self.encoded.is_empty() {
                return Ok(Some(std::mem::take(&mut self.encoded)));
            }
            if self.stream.read_buf(&mut self.encoded).await? == 0 {
                self.has_ended = true;
                let is_complete = !is_chunked && length.is_none();
                return if is_complete { Ok(None) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads the rest of the body as text.
    pub(crate) async fn text(mut self) -> String {
        let mut body = Vec::new();
        let length = self.header("content-length").and_then(|length| length.parse().ok());
        while length.is_none_or(|length: usize| body.len() < length) {
            match within("the body of the response", self.next_chunk()).await {
                Ok(Some(chunk)) => body.extend(chunk),
                _ => break,
            }
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Removes a complete chunk from the received bytes.
    fn take_chunk(&mut self) -> Option<Vec<u8>> {
        let end_of_size = self.encoded.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&self.encoded[..end_of_size]).unwrap_or_default();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        let start = end_of_size + 2;
        if self.encoded.len() < start + size + 2 {
            return None;
        }
        let rest = self.encoded.split_off(start + size + 2);
        let chunk = self.encoded[start..start + size].to_vec();
        self.encoded = rest;
        Some(chunk)
    }
}

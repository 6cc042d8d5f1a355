//! A WebSocket client that can violate the protocol: it writes frames as raw bytes and parses by
//! hand.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::handshake::Handshake;
use crate::support::server::test_server::Server;
use crate::support::within;

/// The mask of all masked frames. Any value other than zero works.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client frame, valid unless changed.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    opcode: u8,
    fin: bool,
    masked: bool,
    reserved_bits: u8,
    declared_length: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    /// Creates a frame. Opcodes: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self { opcode, fin: true, masked: true, reserved_bits: 0, declared_length: None, payload }
    }

    /// Creates a text frame. The payload need not be UTF-8.
    pub(crate) fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(1, payload)
    }

    /// Creates a continuation frame.
    pub(crate) fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(0, payload)
    }

    /// Creates a close frame with this code.
    pub(crate) fn close(code: u16) -> Self {
        Self::new(8, code.to_be_bytes())
    }

    /// Clears the FIN bit: more fragments of the message follow.
    pub(crate) fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Leaves out the mask, which is a protocol violation.
    pub(crate) fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// Sets the reserved bits, of `0b111`.
    pub(crate) fn with_reserved_bits(mut self, bits: u8) -> Self {
        self.reserved_bits = bits;
        self
    }

    /// Sets the length in the header, independently of the payload.
    pub(crate) fn with_declared_length(mut self, length: u64) -> Self {
        self.declared_length = Some(length);
        self
    }

    /// Encodes the frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mask_bit = if self.masked { 0x80 } else { 0 };
        let fin_bit = u8::from(self.fin) << 7;
        let mut bytes = vec![fin_bit | ((self.reserved_bits & 0b111) << 4) | (self.opcode & 0x0f)];
        let length = u64::try_from(self.payload.len()).unwrap_or(u64::MAX);
        let length = self.declared_length.unwrap_or(length);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short), _) if short < 126 => bytes.push(mask_bit | short),
            (_, Ok(medium)) => {
                bytes.push(mask_bit | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend(MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// A frame received from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerFrame {
    /// 1 text, 8 close, 9 ping, 10 pong.
    pub(crate) opcode: u8,
    /// Whether this is the last fragment of its message.
    pub(crate) fin: bool,
    /// The three reserved bits, zero in a valid frame.
    pub(crate) reserved_bits: u8,
    pub(crate) payload: Vec<u8>,
}

/// A WebSocket connection that does not answer pings and reads only on request.
#[derive(Debug)]
pub(crate) struct RawSocket {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl RawSocket {
    /// Connects to `server`.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::connect_to(server.address(), &Handshake::new()).await
    }

    /// Connects with the smallest receive buffer the system allows, for a client that stops
    /// reading.
    pub(crate) async fn connect_with_small_buffer(server: &Server) -> Self {
        Self::connect_to(server.address(), &Handshake::new().receive_buffer(1)).await
    }

    /// Connects to `address` with the headers of `handshake`.
    pub(crate) async fn connect_to(address: SocketAddr, handshake: &Handshake) -> Self {
        match handshake.open(address).await {
            Ok(opened) => Self { stream: opened.stream, unread: opened.early },
            Err(rejection) => panic!("the server rejected the handshake: {rejection:?}"),
        }
    }

    /// Waits until the operating system reports a connection error, without reading.
    pub(crate) async fn wait_until_broken(&self) -> io::Error {
        let polling = async {
            loop {
                if let Ok(Some(error)) = SockRef::from(&self.stream).take_error() {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("the connection to break", polling).await
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes()).await;
    }

    /// Sends a well-formed text frame.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(&Frame::text(text)).await;
    }

    /// Sends raw bytes. If the server has closed, the next read reports it.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = within("bytes to be sent", self.stream.write_all(bytes)).await;
    }

    /// Sends `chunk` repeatedly, with a pause between, until `total` bytes are sent or the server
    /// closes. Returns the number of bytes sent.
    pub(crate) async fn send_slowly(&mut self, chunk: &[u8], total: usize, pause: Duration) -> usize {
        let mut sent = 0;
        while sent < total {
            let write = tokio::time::timeout(Duration::from_secs(5), self.stream.write_all(chunk));
            let Ok(Ok(())) = write.await else { break };
            sent += chunk.len();
            let next = tokio::time::Instant::now() + pause;
            // Received bytes are kept for later reads; end of file ends the loop.
            let read = tokio::time::timeout_at(next, self.stream.read_buf(&mut self.unread)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
            // However fast the server writes, the pace of this client is the same.
            tokio::time::sleep_until(next).await;
        }
        sent
    }

    /// Reads the next frame. Returns `None` if the connection has ended.
    pub(crate) async fn read_frame(&mut self) -> Option<ServerFrame> {
        within("a frame or the end of the connection", async {
            loop {
                if let Some((frame, length)) = parse(&self.unread) {
                    self.unread.drain(..length);
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.unread).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    /// Skips frames until the server's close frame and returns its code, 1005 if it has none.
    /// Returns `None` if the connection ends without a close frame.
    pub(crate) async fn read_close(&mut self) -> Option<u16> {
        loop {
            let frame = self.read_frame().await?;
            if frame.opcode == 8 {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                return Some(code.unwrap_or(1005));
            }
        }
    }

    /// Sends `chunk`, reads at most `limit` bytes and pauses, repeatedly, until the server closes.
    /// Returns the close code.
    pub(crate) async fn read_slowly_until_close(
        &mut self,
        chunk: &[u8],
        limit: usize,
        pause: Duration,
    ) -> Option<u16> {
        let mut buffer = vec![0; limit];
        loop {
            while let Some((frame, length)) = parse(&self.unread) {
                self.unread.drain(..length);
                if frame.opcode == 8 {
                    return frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                }
            }
            self.send_bytes(chunk).await;
            let reading = self.stream.read(&mut buffer);
            match within("bytes or the end of the connection", reading).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads until the server ends the TCP connection. Returns the number of frames read.
    pub(crate) async fn read_until_end(&mut self) -> usize {
        let mut frames = 0;
        while self.read_frame().await.is_some() {
            frames += 1;
        }
        frames
    }
}

/// Parses the first frame in `bytes`. Returns it with its length, or `None` if it is incomplete.
fn parse(bytes: &[u8]) -> Option<(ServerFrame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert!(second & 0x80 == 0, "the server must not mask frames");
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let payload = rest.get(..usize::try_from(length).ok()?)?.to_vec();
    let end = bytes.len() - rest.len() + payload.len();
    let frame = ServerFrame {
        opcode: first & 0x0f,
        fin: first & 0x80 != 0,
        reserved_bits: (first >> 4) & 0b111,
        payload,
    };
    Some((frame, end))
}

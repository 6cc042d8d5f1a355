//! A WebSocket client that may break every rule: frames are bytes, and the server's are taken apart by hand.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::handshake::Handshake;
use crate::support::server::test_server::Server;
use crate::support::within;

/// The mask of every masked frame; which one it is does not matter, as long as it is not zero.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client would send it, to be bent.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    opcode: u8,
    fin: bool,
    masked: bool,
    reserved: u8,
    declared: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    /// Any opcode: 0 continues, 1 is text, 2 binary, 8 close, 9 ping, 10 pong, the others are reserved.
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode, fin: true, masked: true, reserved: 0, declared: None, payload: payload.into() }
    }

    /// A text frame, of bytes, for they need not be UTF-8.
    pub(crate) fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(1, payload)
    }

    /// A continuation.
    pub(crate) fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(0, payload)
    }

    /// A close frame with a code.
    pub(crate) fn close(code: u16) -> Self {
        Self::new(8, code.to_be_bytes())
    }

    /// More of the message follows.
    pub(crate) fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Without a mask, which clients must not do.
    pub(crate) fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// With these reserved bits (of `0b111`).
    pub(crate) fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// With a length in the header that is not the payload's.
    pub(crate) fn declaring(mut self, length: u64) -> Self {
        self.declared = Some(length);
        self
    }

    /// The frame's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        frame(self.opcode, self.fin, self.masked, self.reserved, self.declared, &self.payload)
    }
}

/// The bytes of a frame; `declared` stands in the header in place of the payload's length.
pub(crate) fn frame(
    opcode: u8,
    fin: bool,
    masked: bool,
    reserved: u8,
    declared: Option<u64>,
    payload: &[u8],
) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![(u8::from(fin) << 7) | ((reserved & 0b111) << 4) | (opcode & 0x0f)];
    let length = declared.unwrap_or(u64::try_from(payload.len()).unwrap_or(u64::MAX));
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
    if masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// A frame as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerFrame {
    /// 1 is text, 8 close, 9 ping, 10 pong.
    pub(crate) opcode: u8,
    /// Whether it ends its message.
    pub(crate) fin: bool,
    /// Its reserved bits.
    pub(crate) reserved: u8,
    /// Its payload.
    pub(crate) payload: Vec<u8>,
}

/// The socket. It answers no pings and reads only when told to.
#[derive(Debug)]
pub(crate) struct RawSocket {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl RawSocket {
    /// Opens a WebSocket.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::connect_to(server.address(), &Handshake::new()).await
    }

    /// Opens a WebSocket whose receive buffer is as small as the system allows: a client that stops reading.
    pub(crate) async fn connect_with_a_small_buffer(server: &Server) -> Self {
        Self::connect_to(server.address(), &Handshake::new().receive_buffer(1)).await
    }

    /// Opens a WebSocket with headers of one's own.
    pub(crate) async fn connect_to(address: SocketAddr, handshake: &Handshake) -> Self {
        match handshake.open(address).await {
            Ok(opened) => Self { stream: opened.stream, unread: opened.early },
            Err(refusal) => panic!("the server refused the handshake: {refusal:?}"),
        }
    }

    /// Waits until the system says that the connection has broken, without reading anything.
    pub(crate) async fn broken(&self) -> io::Error {
        let breaks = async {
            loop {
                if let Ok(Some(error)) = SockRef::from(&self.stream).take_error() {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("the connection to break", breaks).await
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes()).await;
    }

    /// Sends a well-formed text frame.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(&Frame::text(text)).await;
    }

    /// Sends bytes as they are. A server that has closed is noticed by who reads.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = within("the server to take some bytes", self.stream.write_all(bytes)).await;
    }

    /// Sends `piece` again and again, with a pause between, until `total` bytes are sent or the server has closed;
    /// says how many it took.
    pub(crate) async fn drip(&mut self, piece: &[u8], total: usize, every: Duration) -> usize {
        let mut sent = 0;
        while sent < total {
            let write = tokio::time::timeout(Duration::from_secs(5), self.stream.write_all(piece));
            let Ok(Ok(())) = write.await else { break };
            sent += piece.len();
            // What the server says in the meantime is kept; its close ends the drip.
            let said = tokio::time::timeout(every, self.stream.read_buf(&mut self.unread)).await;
            if matches!(said, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
        sent
    }

    /// The next frame, or `None` when the connection has ended.
    pub(crate) async fn read_frame(&mut self) -> Option<ServerFrame> {
        within("a frame of the server, or its end", async {
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

    /// The code of the server's close frame, skipping what comes before it (1005: a close frame without one), or
    /// `None` when the connection ended without.
    pub(crate) async fn read_close(&mut self) -> Option<u16> {
        loop {
            let frame = self.read_frame().await?;
            if frame.opcode == 8 {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                return Some(code.unwrap_or(1005));
            }
        }
    }

    /// Sends `piece` and reads no more than `bytes`, again and again with a pause between, until the server closes; returns
    /// the code.
    pub(crate) async fn sip_to_the_close(
        &mut self,
        piece: &[u8],
        bytes: usize,
        every: Duration,
    ) -> Option<u16> {
        let mut sip = vec![0; bytes];
        loop {
            while let Some((frame, length)) = parse(&self.unread) {
                self.unread.drain(..length);
                if frame.opcode == 8 {
                    return frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                }
            }
            self.send_bytes(piece).await;
            let read = within("some bytes of the server, or its end", self.stream.read(&mut sip)).await;
            match read {
                Ok(0) | Err(_) => return None,
                Ok(some) => self.unread.extend_from_slice(&sip[..some]),
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Waits until the server has ended the TCP connection, throwing away what it still sends; says how many frames.
    pub(crate) async fn read_to_the_end(&mut self) -> usize {
        let mut frames = 0;
        while self.read_frame().await.is_some() {
            frames += 1;
        }
        frames
    }
}

/// The first frame in `bytes` and its length, if it is all there.
fn parse(bytes: &[u8]) -> Option<(ServerFrame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert!(second & 0x80 == 0, "the server masked a frame, which only clients do");
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
    Some((
        ServerFrame { opcode: first & 0x0f, fin: first & 0x80 != 0, reserved: (first >> 4) & 0b111, payload },
        end,
    ))
}

//! A model server that sends prepared bytes, whatever they are.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::Journal;
use crate::support::upstream::request::{Request, read_request};

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Framing {
    /// `Transfer-Encoding: chunked`.
    #[default]
    Chunked,
    /// `Content-Length`.
    Length,
    /// The connection is closed, as in HTTP/1.0.
    Close,
}

/// What happens after the last byte of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyEnd {
    /// The body ends properly.
    #[default]
    Complete,
    /// The connection is closed within the body.
    Drop,
    /// Nothing more is sent, and the connection stays open.
    Hang,
}

/// A response, byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The body, in the pieces in which it is written.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) framing: Framing,
    pub(crate) end: BodyEnd,
}

/// The response to requests for a path other than that of completions.
#[derive(Clone, Debug)]
pub(crate) struct RawDocument {
    /// The end of the path, without the query.
    pub(crate) path: String,
    pub(crate) response: RawResponse,
}

struct State {
    responses: Vec<RawResponse>,
    documents: Vec<RawDocument>,
    request_count: AtomicUsize,
    completion_count: AtomicUsize,
    completions: Journal<Request>,
}

/// A model server on a real socket. Dropping it stops it and closes its connections.
pub(crate) struct RawUpstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl RawUpstream {
    /// Starts it on a free port. The n-th request for a completion gets the n-th response, and the
    /// last response is repeated. Other paths return 404, except those of `documents`.
    pub(crate) async fn start(responses: Vec<RawResponse>, documents: Vec<RawDocument>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("upstream could not listen: {error}"));
        let address =
            listener.local_addr().unwrap_or_else(|error| panic!("upstream has no address: {error}"));
        let state = Arc::new(State {
            responses,
            documents,
            request_count: AtomicUsize::new(0),
            completion_count: AtomicUsize::new(0),
            completions: Journal::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, accepting }
    }

    /// Returns the address without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all completion requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.completions.all()
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(request) = read_request(&mut reader, &state.request_count).await? {
        let response = choose_response(&state, request);
        let response = response.unwrap_or_else(not_found);
        write_raw(&mut writer, &response).await?;
        match response.end {
            BodyEnd::Hang => match std::future::pending::<Infallible>().await {},
            BodyEnd::Complete if response.framing != Framing::Close => {}
            BodyEnd::Complete | BodyEnd::Drop => return Ok(()),
        }
    }
    Ok(())
}

/// Returns the response to a request, and records a completion request.
fn choose_response(state: &State, request: Request) -> Option<RawResponse> {
    let path = request.path.split('?').next().unwrap_or_default();
    if !path.ends_with("/chat/completions") {
        let document = state.documents.iter().find(|document| path.ends_with(&document.path));
        return document.map(|document| document.response.clone());
    }
    let index = state.completion_count.fetch_add(1, Ordering::Relaxed);
    state.completions.push(request);
    state.responses.get(index).or(state.responses.last()).cloned()
}

fn not_found() -> RawResponse {
    RawResponse {
        status: 404,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        pieces: vec![br#"{"detail":"Not Found"}"#.to_vec()],
        framing: Framing::Length,
        end: BodyEnd::Complete,
    }
}

async fn write_raw(writer: &mut OwnedWriteHalf, response: &RawResponse) -> io::Result<()> {
    let RawResponse { status, headers, pieces, framing, end } = response;
    let mut head = format!("HTTP/1.1 {status} Raw\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = pieces.iter().map(Vec::len).sum::<usize>();
    match framing {
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        // A body that is to be cut off is announced longer than it is.
        Framing::Length if *end == BodyEnd::Complete => {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        Framing::Length => head.push_str(&format!("content-length: {}\r\n", length + 1000)),
        Framing::Close => head.push_str("connection: close\r\n"),
    }
    writer.write_all(format!("{head}\r\n").as_bytes()).await?;
    for piece in pieces {
        let mut bytes = Vec::new();
        if *framing == Framing::Chunked {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        bytes.extend_from_slice(piece);
        if *framing == Framing::Chunked {
            bytes.extend_from_slice(b"\r\n");
        }
        writer.write_all(&bytes).await?;
    }
    if *framing == Framing::Chunked && *end == BodyEnd::Complete {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    writer.flush().await
}

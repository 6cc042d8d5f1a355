//! The format of a file of the corpus.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde::Deserialize;

use crate::support::upstream::raw_upstream::{BodyEnd, Framing, RawDocument, RawResponse};
use crate::upstream::corpus::expectation::{Expectation, RequestExpectation};
use crate::upstream::corpus::placeholders;

/// A file of the corpus.
#[derive(Clone, Debug)]
pub(super) struct CaseFile {
    pub(super) path: PathBuf,
    /// The folder of the server.
    pub(super) server: String,
    /// The path below the corpus.
    pub(super) name: String,
}

/// Returns all files of the corpus, sorted by name.
pub(super) fn case_files(directory: &Path) -> Vec<CaseFile> {
    let read = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let mut files = Vec::new();
    for folder in read(directory).into_iter().filter(|path| path.is_dir()) {
        let server = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in read(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"))
        {
            let file = path.file_stem().unwrap_or_default().to_string_lossy();
            files.push(CaseFile { name: format!("{server}/{file}"), server: server.clone(), path });
        }
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    files
}

/// One behaviour of one server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The name of the server or service.
    pub(super) server: String,
    /// What the server does, in a sentence.
    pub(super) behaviour: String,
    /// The document, report or source in which this can be read.
    pub(super) source: String,
    /// Whether the server under test believes that it talks to OpenRouter.
    #[serde(default)]
    pub(super) openrouter: bool,
    /// The number of questions that the visitor asks. The last answer counts.
    #[serde(default = "one")]
    pub(super) questions: usize,
    /// The settings of the server under test.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    /// The n-th response answers the n-th completion request; the last one is repeated.
    pub(super) response: Vec<Response>,
    /// The responses to requests for other paths, by the end of the path.
    #[serde(default)]
    pub(super) document: Vec<Document>,
    pub(super) expect: Expectation,
}

/// A response to a completion request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default = "event_stream")]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// A body that is not text.
    body_base64: Option<String>,
    /// The compression that is applied to the body.
    #[serde(default)]
    compression: BodyCompression,
    #[serde(default)]
    chunks: Chunks,
    #[serde(default)]
    framing: Framing,
    #[serde(default)]
    end: BodyEnd,
    /// What the request that is answered must look like.
    #[serde(default)]
    pub(super) request: RequestExpectation,
}

/// A response to a request for another path.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    path: String,
    #[serde(default = "ok")]
    status: u16,
    body: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BodyCompression {
    #[default]
    None,
    Gzip,
    Deflate,
}

/// The pieces in which a body is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
enum Chunks {
    #[default]
    Default,
    Named(NamedChunks),
    Bytes(usize),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NamedChunks {
    Whole,
    Events,
    Bytes,
}

fn one() -> usize {
    1
}

fn ok() -> u16 {
    200
}

fn event_stream() -> BTreeMap<String, String> {
    BTreeMap::from([("content-type".to_owned(), "text/event-stream".to_owned())])
}

impl Case {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let case: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for response in &case.response {
            response.raw()?;
        }
        match (case.response.is_empty(), case.questions) {
            (true, _) => Err("there is no response".to_owned()),
            (_, 0) => Err("there is no question".to_owned()),
            _ => Ok(case),
        }
    }

    /// Returns the responses, ready to be sent.
    pub(super) fn raw_responses(&self) -> Vec<RawResponse> {
        self.response.iter().filter_map(|response| response.raw().ok()).collect()
    }

    /// Returns the responses to requests for other paths.
    pub(super) fn raw_documents(&self) -> Vec<RawDocument> {
        self.document.iter().map(Document::raw).collect()
    }
}

impl Response {
    fn raw(&self) -> Result<RawResponse, String> {
        let body = match (&self.body, &self.body_base64) {
            (Some(text), None) => placeholders::fill(text)?.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| error.to_string())?,
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => return Err("body and body_base64 exclude each other".to_owned()),
        };
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), placeholders::fill(value)?));
        }
        if self.framing == Framing::Close && self.end == BodyEnd::Drop {
            return Err("a body that ends with the connection cannot be cut off".to_owned());
        }
        let body = self.compression.apply(body);
        let pieces = self.chunks.split(&body);
        Ok(RawResponse { status: self.status, headers, pieces, framing: self.framing, end: self.end })
    }
}

impl Document {
    fn raw(&self) -> RawDocument {
        let response = RawResponse {
            status: self.status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            pieces: vec![self.body.clone().into_bytes()],
            framing: Framing::Length,
            end: BodyEnd::Complete,
        };
        RawDocument { path: self.path.clone(), response }
    }
}

impl BodyCompression {
    fn apply(self, body: Vec<u8>) -> Vec<u8> {
        let compressed = match self {
            Self::None => return body,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
        };
        compressed.unwrap_or_else(|error| panic!("could not compress: {error}"))
    }
}

impl Chunks {
    fn split(&self, body: &[u8]) -> Vec<Vec<u8>> {
        match self {
            Self::Named(NamedChunks::Whole) => vec![body.to_vec()],
            Self::Default | Self::Named(NamedChunks::Events) => split_events(body),
            Self::Named(NamedChunks::Bytes) => body.chunks(1).map(<[u8]>::to_vec).collect(),
            Self::Bytes(size) => body.chunks((*size).max(1)).map(<[u8]>::to_vec).collect(),
        }
    }
}

/// Splits a body after every empty line, or after every line if it has no empty ones.
fn split_events(body: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let is_empty = |line: &[u8]| line == b"\n" || line == b"\r\n";
    let has_empty_lines = lines.iter().any(|line| is_empty(line));
    let mut pieces: Vec<Vec<u8>> = vec![Vec::new()];
    for line in lines {
        if let Some(piece) = pieces.last_mut() {
            piece.extend_from_slice(line);
        }
        if is_empty(line) || !has_empty_lines {
            pieces.push(Vec::new());
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

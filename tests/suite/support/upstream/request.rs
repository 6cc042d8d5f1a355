//! Requests received by the fake OpenRouter.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The number of the request, from 1, across all connections.
    pub(crate) number: usize,
    /// Whether the connection has served other requests.
    pub(crate) is_on_reused_connection: bool,
    /// The HTTP method.
    pub(crate) method: String,
    /// The path including the query.
    pub(crate) path: String,
    /// The headers, with names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The JSON body, or `Null` if there is none.
    pub(crate) body: Value,
    /// When the request was complete.
    pub(crate) received_at: Instant,
}

impl Request {
    /// Returns the last user message: the question, possibly wrapped by the server.
    pub(crate) fn question(&self) -> &str {
        let last = self.messages().iter().rfind(|message| message.get("role") == Some(&json!("user")));
        last.and_then(|message| message.get("content")?.as_str()).unwrap_or_default()
    }

    /// Returns the messages after the system prompt.
    pub(crate) fn conversation(&self) -> Vec<&str> {
        self.messages().iter().skip(1).filter_map(|message| message["content"].as_str()).collect()
    }

    /// Returns all messages of the prompt.
    pub(crate) fn messages(&self) -> &[Value] {
        self.body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads the next request. Returns `None` if the client has closed the connection.
pub(crate) async fn read_request(
    reader: &mut BufReader<OwnedReadHalf>,
    request_count: &AtomicUsize,
) -> io::Result<Option<Request>> {
    let mut request_line = String::new();
    if reader.read_line(&mut request_line).await? == 0 {
        return Ok(None);
    }
    let mut words = request_line.split_whitespace().map(ToOwned::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let number = request_count.fetch_add(1, Ordering::Relaxed) + 1;
    let is_on_reused_connection = false;
    Ok(Some(Request {
        number,
        is_on_reused_connection,
        method,
        path,
        headers,
        body,
        received_at: Instant::now(),
    }))
}

//! The requests that come to the fake OpenRouter.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Counts from 1 over everything that was asked of this upstream.
    pub(crate) number: usize,
    /// `POST`, ….
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// `Null` when there was none.
    pub(crate) body: Value,
    /// When it had come.
    pub(crate) at: Instant,
}

impl Request {
    /// The content of the last message by the user: the question, in whatever the server wraps it.
    pub(crate) fn question(&self) -> &str {
        let last = self.messages().iter().rfind(|message| message.get("role") == Some(&json!("user")));
        last.and_then(|message| message.get("content")?.as_str()).unwrap_or_default()
    }

    /// What the model is shown beside its instructions.
    pub(crate) fn conversation(&self) -> Vec<&str> {
        self.messages().iter().skip(1).filter_map(|it| it["content"].as_str()).collect()
    }

    /// The messages of the prompt.
    pub(crate) fn messages(&self) -> &[Value] {
        self.body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The next request, or `None` when the client has closed. `asked` counts the requests of all connections.
pub(crate) async fn read_request(
    reader: &mut BufReader<OwnedReadHalf>,
    asked: &AtomicUsize,
) -> io::Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(ToOwned::to_owned);
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
    let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(Some(Request { number, method, path, headers, body, at: Instant::now() }))
}

//! One HTTP request by hand, so that tests choose every header and see the response whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::server::test_server::Server;
use crate::support::within;

/// A response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// As text.
    pub(crate) body: String,
    /// From the request to the last byte.
    pub(crate) took: Duration,
}

impl HttpResponse {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{self:?} is not JSON: {error}"))
    }
}

/// `GET` on the public port.
pub(crate) async fn get(server: &Server, path: &str) -> HttpResponse {
    get_with(server, path, &[]).await
}

/// `GET` with headers.
pub(crate) async fn get_with(server: &Server, path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    request(server.address(), path, headers).await
}

/// `GET` of a whole URL, such as one on the operator's port.
pub(crate) async fn get_url(url: impl AsRef<str>) -> HttpResponse {
    let url = url.as_ref();
    let (authority, path) = url.trim_start_matches("http://").split_once('/').unwrap_or((url, ""));
    let address = authority.parse().unwrap_or_else(|error| panic!("no address in {url}: {error}"));
    request(address, &format!("/{path}"), &[]).await
}

async fn request(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    let started = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = within(&format!("the response to GET {path}"), exchange).await;
    let answer = answer.unwrap_or_else(|error| panic!("GET {path} failed: {error}"));
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    HttpResponse {
        status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
        headers: lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
        body: body.to_owned(),
        took: started.elapsed(),
    }
}

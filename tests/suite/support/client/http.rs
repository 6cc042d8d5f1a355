//! A minimal HTTP client, so that tests control every header and see the whole response.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::server::test_server::Server;
use crate::support::within;

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    /// The status code.
    pub(crate) status: u16,
    /// The headers, with names in lower case.
    headers: Vec<(String, String)>,
    /// The body as text.
    pub(crate) body: String,
    /// Time from the request to the last byte of the response.
    pub(crate) took: Duration,
}

impl HttpResponse {
    /// Returns the value of a header. `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Parses the body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("the body is not JSON: {error}: {self:?}"))
    }
}

/// Sends `GET` to the public port.
pub(crate) async fn get(server: &Server, path: &str) -> HttpResponse {
    get_with(server, path, &[]).await
}

/// Sends `GET` with extra headers to the public port.
pub(crate) async fn get_with(server: &Server, path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    request(server.address(), "GET", path, headers, "").await
}

/// Sends `POST` with extra headers to an address.
pub(crate) async fn post_to(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> HttpResponse {
    request(address, "POST", path, headers, body).await
}

/// Sends `GET` to a complete URL, such as one on the operator port.
pub(crate) async fn get_url(url: impl AsRef<str>) -> HttpResponse {
    let url = url.as_ref();
    let (authority, path) = url.trim_start_matches("http://").split_once('/').unwrap_or((url, ""));
    let address = authority.parse().unwrap_or_else(|error| panic!("no address in {url}: {error}"));
    request(address, "GET", &format!("/{path}"), &[], "").await
}

async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> HttpResponse {
    let mut extra_headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    if method != "GET" {
        extra_headers.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{extra_headers}\r\n{body}"
    );
    let started = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        Ok::<_, std::io::Error>(response)
    };
    let response = within(&format!("the response to {method} {path}"), exchange).await;
    let response = response.unwrap_or_else(|error| panic!("{method} {path} failed: {error}"));
    let text = String::from_utf8_lossy(&response).into_owned();
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

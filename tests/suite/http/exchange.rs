//! HTTP exchanges in which the test writes every byte of the request and sees every byte of the
//! response.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::within;

/// The headers of every response.
pub(super) const SECURITY_HEADERS: [&str; 7] = [
    "x-content-type-options",
    "referrer-policy",
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "x-request-id",
];

/// A response with its bytes.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Exchange {
    /// Returns the value of a header; several lines are joined. `name` is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values =
            self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let values: Vec<&str> = values.collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns the value of a header that must be there.
    pub(super) fn expect_header(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Parses the body, which must be JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the headers that every response has, once each.
    pub(super) fn assert_security_headers(&self) {
        for name in SECURITY_HEADERS {
            let count = self.headers.iter().filter(|(header, _)| header == name).count();
            assert_eq!(count, 1, "{name} in {self:?}");
        }
    }
}

/// Sends raw bytes and reads until the server closes.
pub(super) async fn send_raw(address: SocketAddr, request: &[u8]) -> Exchange {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut response = Vec::new();
        // A server that closes with unread bytes resets the connection after the response.
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            response.extend_from_slice(&buffer[..count]);
        }
        Ok::<_, std::io::Error>(response)
    };
    let response = within("a response", exchange).await.unwrap();
    parse(&response)
}

fn parse(response: &[u8]) -> Exchange {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(response)));
    let head = String::from_utf8_lossy(&response[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    Exchange {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        headers: lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
        body: response[end + 4..].to_vec(),
    }
}

/// Sends a request. A `Host` among the headers replaces the address of the server.
pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Exchange {
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = if has_host { String::new() } else { format!("Host: {address}\r\n") };
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n{lines}\r\n");
    send_raw(address, request.as_bytes()).await
}

/// Returns the address of the operator's server.
pub(super) async fn operator_address(server: &crate::support::server::test_server::Server) -> SocketAddr {
    let url = server.operator_url("").await;
    url.trim_start_matches("http://").parse().unwrap()
}

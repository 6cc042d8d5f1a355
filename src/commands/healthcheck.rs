//! `healthcheck`: requests the readiness of a running server, for containers and scripts.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use resume_chatbot::settings::Purpose;
use serde::Serialize;

use super::output::{print, print_json, replace_control_characters};
use super::{CliError, CliResult, duration_arg, load_settings};

const READINESS_PATH: &str = "/health/ready";

/// The maximum number of bytes read of a response. Only the first line is used.
const MAX_HEAD_BYTES: usize = 8 * 1024;

#[derive(Args)]
pub(super) struct Arguments {
    /// The URL to request, `http://HOST[:PORT][/PATH]`; by default /health/ready at HOST and PORT.
    #[arg(long)]
    url: Option<String>,
    /// How long to wait for the response.
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = duration_arg::parse)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct ProbeReport {
    ready: bool,
    url: String,
    /// The HTTP status, if there was a response.
    status: Option<u16>,
    latency_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Any error has the exit code 1, because container engines use only 0 and 1.
pub(super) fn healthcheck(arguments: &Arguments, config: Option<&Path>) -> CliResult {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => default_url(config).map_err(|error| CliError::failure(error.message))?,
    };
    let started = Instant::now();
    let response =
        ProbeTarget::parse(&url).and_then(|target| target.request_status(started + arguments.timeout));
    let (status, problem) = match response {
        Ok(status @ 200..=299) => (Some(status), None),
        Ok(status) => (Some(status), Some(format!("answered {status}; see /health for the reason"))),
        Err(problem) => (None, Some(problem)),
    };
    let latency_ms = started.elapsed().as_millis();
    let report = ProbeReport { ready: problem.is_none(), url, status, latency_ms, problem };
    if arguments.json {
        print_json(&report)?;
    } else if report.ready {
        print(&format!("{} is ready ({latency_ms} ms)\n", report.url))?;
    }
    match report.problem {
        None => Ok(()),
        Some(problem) => {
            let message = format!("{}: {problem}", report.url);
            Err(CliError::failure(replace_control_characters(&message)))
        }
    }
}

/// Returns the readiness URL of the server that the settings configure, from the same machine.
fn default_url(config: Option<&Path>) -> CliResult<String> {
    let http = load_settings(&Purpose::Probe, config)?.settings.http;
    if http.port == 0 {
        return Err(CliError::failure("PORT is 0, so the port is not known; give the URL with --url"));
    }
    let host = match http.host {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    Ok(format!("http://{}{READINESS_PATH}", SocketAddr::new(host, http.port)))
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
struct ProbeTarget {
    /// The value of the `Host` header.
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl ProbeTarget {
    fn parse(url: &str) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
        if parsed.scheme() != "http" {
            return Err("not an http:// URL; the server has no TLS, only its proxy has".to_owned());
        }
        let host = match parsed.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(other) => other.to_string(),
            None => return Err("the URL has no host".to_owned()),
        };
        let port = parsed.port().unwrap_or(80);
        let authority = parsed.host_str().map_or_else(String::new, |host| format!("{host}:{port}"));
        let path = match (parsed.path(), parsed.query()) {
            ("/", None) => READINESS_PATH.to_owned(),
            (path, None) => path.to_owned(),
            (path, Some(query)) => format!("{path}?{query}"),
        };
        Ok(Self { authority, host, port, path })
    }

    /// Requests the path from each address of the host until one responds. Returns the HTTP status.
    fn request_status(&self, deadline: Instant) -> Result<u16, String> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses = addresses.map_err(|error| format!("cannot resolve the host: {error}"))?;
        let mut problem = "the host has no address".to_owned();
        for address in addresses {
            match self.request_status_from(address, deadline) {
                Ok(status) => return Ok(status),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    problem = "did not answer in time".to_owned();
                }
                Err(error) => problem = format!("request failed: {error}"),
            }
        }
        Err(problem)
    }

    fn request_status_from(&self, address: SocketAddr, deadline: Instant) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect_timeout(&address, remaining_time(deadline)?)?;
        stream.set_write_timeout(Some(remaining_time(deadline)?))?;
        let request =
            format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.path, self.authority);
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        let mut buffer = [0; 512];
        while !head.contains(&b'\n') {
            stream.set_read_timeout(Some(remaining_time(deadline)?))?;
            let length = stream.read(&mut buffer)?;
            head.extend(buffer.iter().take(length));
            if length == 0 || head.len() >= MAX_HEAD_BYTES {
                break;
            }
        }
        parse_status(&head)
            .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "the response is not HTTP/1"))
    }
}

fn remaining_time(deadline: Instant) -> std::io::Result<Duration> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(remaining) }
}

/// Returns the status in the first line of an HTTP/1 response.
fn parse_status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|status| status.len() == 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_without_a_path_requests_readiness() {
        let target = ProbeTarget::parse("http://[::1]:8080").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8080, READINESS_PATH));
        assert_eq!(target.authority, "[::1]:8080");
        let target = ProbeTarget::parse("http://chat.example/health?deep=true").unwrap();
        assert_eq!((target.port, target.path.as_str()), (80, "/health?deep=true"));
        assert!(ProbeTarget::parse("https://chat.example").unwrap_err().contains("http://"));
        assert!(ProbeTarget::parse("127.0.0.1:8080").is_err());
    }

    #[test]
    fn only_http_1_responses_have_a_status() {
        assert_eq!(parse_status(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        for other in [&b"HTTP/2 200"[..], b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 20\n", b"\xff\xff"] {
            assert_eq!(parse_status(other), None);
        }
    }
}

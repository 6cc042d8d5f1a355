//! `healthcheck`: asks the running server whether it is ready, for containers and for scripts.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use resume_chatbot::settings::Purpose;
use serde::Serialize;

use super::output::{harmless, print, print_json};
use super::{Failed, Outcome, duration_arg, load};

/// Where a server says whether it is ready.
const READINESS: &str = "/health/ready";

/// Most bytes read of a response: only its first line counts.
const MAX_HEAD_BYTES: usize = 8 * 1024;

#[derive(Args)]
pub(super) struct Arguments {
    /// What to ask, `http://HOST[:PORT][/PATH]`; otherwise /health/ready on HOST and PORT.
    #[arg(long)]
    url: Option<String>,
    /// The longest wait for the answer.
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = duration_arg::parse)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What came of asking.
#[derive(Serialize)]
struct Finding {
    ready: bool,
    url: String,
    /// The HTTP status, if there was an answer.
    status: Option<u16>,
    latency_ms: u128,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(super) fn healthcheck(arguments: &Arguments, config: Option<&Path>) -> Outcome {
    // Container engines know the codes 0 and 1 alone.
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => own_url(config).map_err(|Failed(_, message)| Failed(1, message))?,
    };
    let started = Instant::now();
    let answered = Target::parse(&url).and_then(|target| target.ask(started + arguments.timeout));
    let (status, problem) = match answered {
        Ok(status @ 200..=299) => (Some(status), None),
        Ok(status) => (Some(status), Some(format!("answered {status}; /health says why"))),
        Err(problem) => (None, Some(problem)),
    };
    let latency_ms = started.elapsed().as_millis();
    let finding = Finding { ready: problem.is_none(), url, status, latency_ms, problem };
    if arguments.json {
        print_json(&finding)?;
    } else if finding.ready {
        print(&format!("{} is ready ({latency_ms} ms)\n", finding.url))?;
    }
    match finding.problem {
        None => Ok(()),
        Some(problem) => Err(Failed(1, format!("{}: {}", harmless(&finding.url), harmless(&problem)))),
    }
}

/// The server that the settings describe, as it is reached from the same machine.
fn own_url(config: Option<&Path>) -> Result<String, Failed> {
    let http = load(&Purpose::Probe, config)?.settings.http;
    if http.port == 0 {
        return Err(Failed(1, "PORT is 0, which names no port; name the server with --url".to_owned()));
    }
    let host = match http.host {
        IpAddr::V4(every) if every.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(every) if every.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    Ok(format!("http://{}{READINESS}", SocketAddr::new(host, http.port)))
}

/// What to ask, in parts.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// As in the URL, for the `Host` header.
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        if parsed.scheme() != "http" {
            return Err("is not http://; the server itself speaks no TLS, its proxy does".to_owned());
        }
        let host = match parsed.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(other) => other.to_string(),
            None => return Err("names no host".to_owned()),
        };
        let port = parsed.port().unwrap_or(80);
        let authority = parsed.host_str().map_or_else(String::new, |host| format!("{host}:{port}"));
        let path = match (parsed.path(), parsed.query()) {
            ("/", None) => READINESS.to_owned(),
            (path, None) => path.to_owned(),
            (path, Some(query)) => format!("{path}?{query}"),
        };
        Ok(Self { authority, host, port, path })
    }

    /// The status of the answer.
    fn ask(&self, deadline: Instant) -> Result<u16, String> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses = addresses.map_err(|error| format!("the host is not known: {error}"))?;
        let mut problem = "the host has no address".to_owned();
        for address in addresses {
            match self.ask_at(address, deadline) {
                Ok(status) => return Ok(status),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    problem = "did not answer in time".to_owned();
                }
                Err(error) => problem = format!("cannot be asked: {error}"),
            }
        }
        Err(problem)
    }

    fn ask_at(&self, address: SocketAddr, deadline: Instant) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
        stream.set_write_timeout(Some(left(deadline)?))?;
        let request =
            format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.path, self.authority);
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        let mut piece = [0; 512];
        while !head.contains(&b'\n') {
            stream.set_read_timeout(Some(left(deadline)?))?;
            let length = stream.read(&mut piece)?;
            head.extend(piece.iter().take(length));
            if length == 0 || head.len() >= MAX_HEAD_BYTES {
                break;
            }
        }
        status_in(&head).ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "the answer is not HTTP"))
    }
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The status of a response that begins so.
fn status_in(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|status| status.len() == 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_means_readiness() {
        let target = Target::parse("http://[::1]:8080").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8080, READINESS));
        assert_eq!(target.authority, "[::1]:8080");
        let target = Target::parse("http://chat.example/health?deep=true").unwrap();
        assert_eq!((target.port, target.path.as_str()), (80, "/health?deep=true"));
        assert!(Target::parse("https://chat.example").unwrap_err().contains("http://"));
        assert!(Target::parse("127.0.0.1:8080").is_err());
    }

    #[test]
    fn only_a_status_of_http_counts() {
        assert_eq!(status_in(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        for other in [&b"HTTP/2 200"[..], b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 20\n", b"\xff\xff"] {
            assert_eq!(status_in(other), None);
        }
    }
}

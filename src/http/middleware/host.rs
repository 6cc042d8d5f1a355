//! The check of the host name that a request is for.
//!
//! A page whose name an attacker points at this machine ("DNS rebinding") has the same origin as
//! this server in the eyes of the browser. Its requests carry that name, which nothing but this
//! check refuses.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HOST, HeaderValue};
use actix_web::http::{StatusCode, Version};
use actix_web::web::Data;
use slog::warn;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::http::AppState;
use crate::http::error_response::{error, error_with_status};
use crate::settings::HttpSettings;

/// The maximum length of a host name in the DNS.
const MAX_NAME_LENGTH: usize = 253;

const UNKNOWN_NAME: &str = "This server does not answer under this host name. Its owner can allow the name \
     with PUBLIC_URL or ALLOWED_HOSTS.";

/// The address that a server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum ListenScope {
    /// Reachable from this machine only.
    Loopback,
    /// Reachable from other machines.
    Network,
}

impl ListenScope {
    pub(in crate::http) fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// A host name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostName {
    /// In lower case, without a dot at the end.
    Name(String),
    Address(IpAddr),
}

impl HostName {
    /// Parses the value of a `Host` header: a name or an address, with or without a port.
    fn parse(authority: &str) -> Option<Self> {
        if let Some(bracketed) = authority.strip_prefix('[') {
            let (address, port) = bracketed.split_once(']')?;
            let port = port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            return is_port(port).then_some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_name = !name.is_empty()
            && name.len() <= MAX_NAME_LENGTH
            && name.split('.').all(|label| !label.is_empty())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        if !is_name || !is_port(port) {
            return None;
        }
        Some(name.parse().map_or_else(|_| Self::Name(name.to_ascii_lowercase()), Self::Address))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.chars().all(|digit| digit.is_ascii_digit())
}

/// The host names under which this server is reached.
#[derive(Debug)]
pub(in crate::http) struct HostRules {
    listed: Vec<HostName>,
}

impl HostRules {
    pub(in crate::http) fn new(settings: &HttpSettings) -> Self {
        let public = settings.public_url.iter().map(|url| url.host());
        let allowed = settings.allowed_hosts.iter().map(String::as_str);
        Self { listed: public.chain(allowed).filter_map(HostName::parse).collect() }
    }

    /// Returns whether a request for `host` is meant for this server.
    fn believes(&self, host: &HostName, scope: ListenScope, peer: Option<IpAddr>) -> bool {
        let is_local_peer = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        // An attacker can point a name at this server, but not an address.
        let is_address = matches!(host, HostName::Address(_));
        let believed_anyway = match scope {
            ListenScope::Loopback => host.is_loopback(),
            ListenScope::Network => is_address || (is_local_peer && host.is_loopback()),
        };
        believed_anyway || self.listed.contains(host)
    }
}

/// A request without a usable host name.
#[derive(Debug, PartialEq, Eq)]
enum HostError {
    /// HTTP/1.1 requires one `Host` header.
    NotOne,
    /// It is not a name or an address with an optional port.
    Malformed,
}

/// Returns the names that a request is for: that of the target, if it is a complete URL, and that
/// of the `Host` header. A client of HTTP/1.0 may leave out both.
fn requested_hosts(request: &ServiceRequest) -> Result<Vec<HostName>, HostError> {
    let mut headers = request.headers().get_all(HOST);
    let header = headers.next();
    if headers.next().is_some() || (header.is_none() && request.version() > Version::HTTP_10) {
        return Err(HostError::NotOne);
    }
    let header = header.map(HeaderValue::to_str).transpose().map_err(|_| HostError::Malformed)?;
    let target = request.uri().authority().map(|authority| authority.as_str());
    let names =
        target.into_iter().chain(header).map(|name| HostName::parse(name).ok_or(HostError::Malformed));
    names.collect()
}

/// Checks that a request is meant for this server.
///
/// # Errors
/// The response to any other request.
pub(super) fn check(request: &ServiceRequest, state: &Data<AppState>) -> Result<(), Box<HttpResponse>> {
    let scope = request.app_data::<ListenScope>().copied().unwrap_or(ListenScope::Loopback);
    let peer = request.peer_addr().map(|peer| peer.ip());
    match requested_hosts(request) {
        Ok(hosts) => match hosts.iter().find(|host| !state.site.hosts.believes(host, scope, peer)) {
            None => Ok(()),
            Some(unknown) => Err(Box::new(refuse(request, state, unknown))),
        },
        Err(problem) => {
            let message = match problem {
                HostError::NotOne => "A request has exactly one Host header.",
                HostError::Malformed => "The Host header is neither a host name nor an address.",
            };
            Err(Box::new(error(request.request(), ErrorCode::ValidationError, message)))
        }
    }
}

fn refuse(request: &ServiceRequest, state: &AppState, host: &HostName) -> HttpResponse {
    state.session.metrics.http.refused_hosts.inc();
    if state.refused_hosts_log.allows_line(Timestamp::now()) {
        // Parsed, so that a client cannot write arbitrary text to the log.
        let host = match host {
            HostName::Name(name) => name.clone(),
            HostName::Address(address) => address.to_string(),
        };
        warn!(state.log, "request for an unknown host refused; PUBLIC_URL or ALLOWED_HOSTS can allow it"; "host" => host);
    }
    let status = StatusCode::MISDIRECTED_REQUEST;
    error_with_status(request.request(), status, ErrorCode::NotAuthorized, UNKNOWN_NAME, None)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn rules(names: &[&str]) -> HostRules {
        HostRules { listed: names.iter().filter_map(|name| HostName::parse(name)).collect() }
    }

    fn believes(rules: &HostRules, host: &str, scope: ListenScope, peer: &str) -> bool {
        let peer = peer.parse().unwrap();
        HostName::parse(host).is_some_and(|host| rules.believes(&host, scope, Some(peer)))
    }

    #[test]
    fn loopback_servers_believe_loopback_names_and_listed_names() {
        let rules = rules(&["chat.example", "10.0.0.7"]);
        for (host, believed) in [
            ("localhost", true),
            ("LocalHost:8080", true),
            ("localhost.", true),
            ("chat.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("chat.example:443", true),
            ("CHAT.example.", true),
            ("10.0.0.7", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("10.0.0.8", false),
            ("0.0.0.0", false),
            ("127.1", false),
            ("[::2]", false),
        ] {
            assert_eq!(believes(&rules, host, ListenScope::Loopback, "127.0.0.1"), believed, "{host}");
        }
    }

    #[test]
    fn reachable_servers_believe_addresses_and_listed_names() {
        let rules = rules(&["chat.example"]);
        for (host, peer, believed) in [
            ("192.0.2.1:8080", "192.0.2.9", true),
            ("[2001:db8::1]", "192.0.2.9", true),
            ("chat.example", "192.0.2.9", true),
            ("localhost:8080", "127.0.0.1", true),
            ("localhost:8080", "192.0.2.9", false),
            ("evil.example", "127.0.0.1", false),
        ] {
            assert_eq!(believes(&rules, host, ListenScope::Network, peer), believed, "{host} from {peer}");
        }
    }

    #[test]
    fn malformed_authorities_are_no_host_names() {
        for text in [
            "",
            ":80",
            ".",
            "a..b",
            "a b",
            "user@localhost",
            "localhost:",
            "localhost:x",
            "localhost:123456",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[localhost]",
            "::1",
            "*",
            "a/b",
            "ä.example",
        ] {
            let parsed = HostName::parse(text);
            assert_eq!(parsed.is_some(), text == "localhost:", "{text}: {parsed:?}");
        }
        assert_eq!(HostName::parse(&"a".repeat(254)), None);
    }

    #[test]
    fn target_and_header_both_name_the_host() {
        let hosts = |request: TestRequest| requested_hosts(&request.to_srv_request());
        let name = |name: &str| HostName::Name(name.to_owned());
        let with_host = |request: TestRequest, host: &'static str| request.append_header((HOST, host));
        let plain = TestRequest::default;
        assert_eq!(hosts(plain()), Err(HostError::NotOne));
        assert_eq!(hosts(plain().version(Version::HTTP_10)), Ok(Vec::new()));
        assert_eq!(hosts(with_host(plain(), "a.example")), Ok(vec![name("a.example")]));
        let twice = with_host(with_host(plain(), "a.example"), "a.example");
        assert_eq!(hosts(twice), Err(HostError::NotOne));
        assert_eq!(hosts(with_host(plain(), "a b")), Err(HostError::Malformed));
        let absolute = with_host(TestRequest::with_uri("http://b.example/x"), "a.example");
        assert_eq!(hosts(absolute), Ok(vec![name("b.example"), name("a.example")]));
    }
}

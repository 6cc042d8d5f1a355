//! nginx as a reverse proxy before the server, with its own configuration and directory.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::tools::external_tools::{command, path_from_env, run_tool};
use crate::support::within;

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// It answers every WebSocket handshake with 403, and otherwise has the default configuration.
    RefusesUpgrades,
    /// Like `RefusesUpgrades`, except while [`Nginx::allow_upgrades`] allows them.
    MayRefuseUpgrades,
    /// It collects whole responses before it passes them on, whatever the server asks for. It does
    /// so by compressing them, for clients that accept that, as browsers do.
    BuffersResponses,
    /// It speaks HTTP/2 over TLS with clients, with a certificate that nobody signed.
    Http2,
}

/// One line of JSON for each request.
const LOG_FORMAT: &str = r#"log_format requests escape=json '{"method":"$request_method","path":"$request_uri","status":"$status","upgrade":"$http_upgrade","cookies":"$http_cookie$sent_http_set_cookie"}';"#;

/// A running nginx, killed when dropped.
pub(crate) struct Nginx {
    /// The address clients connect to.
    pub(crate) address: SocketAddr,
    _child: Child,
    home: TempDir,
}

/// The file whose existence makes `MayRefuseUpgrades` allow upgrades.
const ALLOWS_UPGRADES: &str = "allows-upgrades";

/// A request that nginx has completed.
#[derive(Clone, Debug)]
pub(crate) struct LoggedRequest {
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) path: String,
    pub(crate) status: u64,
    /// Whether it asked for a WebSocket.
    pub(crate) upgrade: bool,
    /// The cookies of the request and of the response.
    pub(crate) cookies: String,
}

impl Proxy {
    fn listen_options(self) -> &'static str {
        if self == Self::Http2 { "ssl http2" } else { "" }
    }

    fn directives(self) -> &'static str {
        match self {
            Self::RefusesUpgrades => "if ($http_upgrade) { return 403; }",
            Self::MayRefuseUpgrades => {
                "set $refused $http_upgrade; if (-f $document_root/allows-upgrades) { set $refused ''; } \
                 if ($refused) { return 403; } proxy_http_version 1.1; \
                 proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
            }
            Self::BuffersResponses => {
                "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on; proxy_buffer_size 64k; \
                 proxy_buffers 16 64k; proxy_busy_buffers_size 128k; \
                 gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;"
            }
            Self::Http2 => "proxy_http_version 1.1; proxy_set_header Connection '';",
        }
    }
}

impl Nginx {
    /// Starts nginx before `server` and waits until it listens. `None` if it is not installed.
    pub(crate) async fn start(test: &str, server: SocketAddr, proxy: Proxy) -> Option<Self> {
        let program = path_from_env("TEST_NGINX", test)?;
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for nginx: {error}"));
        if proxy == Proxy::Http2 {
            create_certificate(&home).await;
        }
        let address = free_address();
        let path = home.path().join("nginx.conf");
        fs::write(&path, configuration(&home, address, server, proxy))
            .unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
        let child = Command::new(program)
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start nginx: {error}"));
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("nginx to listen", listening).await;
        Some(Self { address, _child: child, home })
    }

    /// Makes `MayRefuseUpgrades` pass WebSockets on, or refuse them again.
    pub(crate) fn allow_upgrades(&self, allow: bool) {
        let path = self.home.path().join(ALLOWS_UPGRADES);
        let changed = match (allow, path.exists()) {
            (true, false) => fs::write(&path, ""),
            (false, true) => fs::remove_file(&path),
            _ => Ok(()),
        };
        changed.unwrap_or_else(|error| panic!("could not change {}: {error}", path.display()));
    }

    /// Returns the completed requests in the order in which they ended. A stream or a WebSocket that
    /// is still open is not among them.
    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        let path = self.home.path().join("access.log");
        let log = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()));
        // The last line may not be complete yet.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(parse_request).collect()
    }

    /// Waits for a completed request that `matches`, after the first `count` requests.
    pub(crate) async fn wait_until_logged(
        &self,
        count: usize,
        what: &str,
        matches: impl Fn(&LoggedRequest) -> bool,
    ) {
        let logged = async {
            while !self.requests().iter().skip(count).any(&matches) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(what, logged).await;
    }
}

fn parse_request(line: &str) -> LoggedRequest {
    let entry: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in nginx's log: {line}"));
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    LoggedRequest {
        method: text("method"),
        path: text("path"),
        status: text("status").parse().unwrap_or_default(),
        upgrade: !text("upgrade").is_empty(),
        cookies: text("cookies"),
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}"))
}

fn configuration(home: &TempDir, address: SocketAddr, server: SocketAddr, proxy: Proxy) -> String {
    let home = home.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {home}/{name};\n"))
        .concat();
    let certificate = match proxy {
        Proxy::Http2 => {
            format!("ssl_certificate {home}/certificate.pem; ssl_certificate_key {home}/key.pem;")
        }
        _ => String::new(),
    };
    let (options, directives) = (proxy.listen_options(), proxy.directives());
    // One process, so that the end of the child is the end of nginx.
    format!(
        "daemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n    {LOG_FORMAT}\n    access_log {home}/access.log requests;\n{temporary}    \
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n    \
         server {{\n        listen {address} {options};\n        root {home};\n        {certificate}\n        \
         location / {{ proxy_pass http://{server}; proxy_set_header Host $host:$server_port; {directives} }}\n    \
         }}\n}}\n"
    )
}

async fn create_certificate(home: &TempDir) {
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key.pem",
        "-out",
        "certificate.pem",
    ];
    let output = run_tool(command("openssl", &arguments, home.path()), "").await;
    assert!(output.succeeded, "no certificate: {}", output.stderr);
}

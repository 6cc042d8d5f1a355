//! The server below a path of another site, behind nginx.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::http::exchange::send;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::external_tools::path_from_env;
use crate::support::within;

/// nginx with the server below `/kept/`, where it passes the prefix on, and below `/removed/`.
struct Proxy {
    address: SocketAddr,
    _child: Child,
    _home: TempDir,
}

impl Proxy {
    async fn start(server: SocketAddr, prefix: &str, keeps_prefix: bool) -> Option<Self> {
        let program = path_from_env("TEST_NGINX", "the server below a path")?;
        let home = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = home.path().join("nginx.conf");
        std::fs::write(&path, configuration(home.path(), free, server, prefix, keeps_prefix)).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(home.path()).arg("-c").arg(&path).stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let listening = async {
            while TcpStream::connect(free).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("nginx to listen", listening).await;
        Some(Self { address: free, _child: child, _home: home })
    }
}

fn configuration(
    home: &Path,
    address: SocketAddr,
    server: SocketAddr,
    prefix: &str,
    keeps_prefix: bool,
) -> String {
    let home = home.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {home}/{name};\n"))
        .concat();
    // With a path after the address, nginx replaces the prefix by it.
    let target = if keeps_prefix { "" } else { "/" };
    let location = if keeps_prefix { prefix.to_owned() } else { format!("{prefix}/") };
    format!(
        "daemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\n{paths}server {{\nlisten {address};\n\
         location {location} {{\nproxy_pass http://{server}{target};\nproxy_http_version 1.1;\n\
         proxy_set_header Host $host;\nproxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $http_connection;\n}}\n}}\n}}\n"
    )
}

/// Follows what a browser would: the page, its files, the documents, the socket.
async fn check_everything_below(address: SocketAddr, prefix: &str) {
    let page = reqwest::Url::parse(&format!("http://site.example{prefix}/")).unwrap();
    let get = async |url: &reqwest::Url| {
        let target = url.as_str().strip_prefix("http://site.example").unwrap();
        send(address, "GET", target, &[("Host", "site.example")]).await
    };
    let html = get(&page).await;
    assert_eq!(html.status, 200, "{html:?}");
    let html = html.text();
    let references = html.split(['"']).filter(|text| text.starts_with("assets/") || text.ends_with(".ico"));
    let references: Vec<&str> = references.collect();
    assert!(references.len() >= 4, "{html}");
    for reference in references.into_iter().chain(["client.js", "manifest.webmanifest", "docs", "health"]) {
        let response = get(&page.join(reference).unwrap()).await;
        assert_eq!(response.status, 200, "{reference} below {prefix}");
    }

    let slash = page.join("docs/").unwrap();
    let redirect = get(&slash).await;
    assert_eq!(redirect.status, 308);
    let docs = slash.join(&redirect.expect_header("location")).unwrap();
    assert_eq!(docs.path(), format!("{prefix}/docs"));
    let html = get(&docs).await.text();
    let files = html.split('"').filter(|text| text.starts_with("docs/"));
    for file in files.chain(["openapi.json"]) {
        assert_eq!(get(&docs.join(file).unwrap()).await.status, 200, "{file} of /docs below {prefix}");
    }

    let without_slash = format!("{prefix}?from=mail");
    let redirect = send(address, "GET", &without_slash, &[("Host", "site.example")]).await;
    assert!(matches!(redirect.status, 301 | 308), "{redirect:?}");
    let target = page.join("..").unwrap().join(prefix).unwrap();
    let target = target.join(&redirect.expect_header("location")).unwrap();
    assert_eq!(target.path(), format!("{prefix}/"), "{redirect:?}");

    let handshake = Handshake::new()
        .path(&format!("{prefix}/ws/chat"))
        .header("Host", "site.example")
        .origin("https://site.example");
    assert!(handshake.open(address).await.is_ok(), "the socket below {prefix}");
}

#[tokio::test]
async fn everything_works_below_a_path_that_the_proxy_removes_or_keeps() {
    for keeps_prefix in [true, false] {
        let config = ServerConfig::demo().with("PUBLIC_URL", "https://site.example/my/chat");
        let server = Server::start(config).await;
        let Some(proxy) = Proxy::start(server.address(), "/my/chat", keeps_prefix).await else { return };
        check_everything_below(proxy.address, "/my/chat").await;
    }
}

#[tokio::test]
async fn prefix_is_removed_only_as_a_whole_and_only_once() {
    let config = ServerConfig::demo().with("PUBLIC_URL", "https://site.example/ws");
    let server = Server::start(config).await;
    for (path, status) in [
        ("/", 200),
        ("/ws/", 200),
        ("/ws", 308),
        ("/ws/health/live?x=1", 200),
        ("/wsx/", 404),
        ("/ws/ws/health/live", 404),
        // Not a handshake, but the resource.
        ("/ws/chat", 426),
        ("/ws/ws/chat", 426),
    ] {
        assert_eq!(send(server.address(), "GET", path, &[]).await.status, status, "{path}");
    }
    assert!(ChatClient::connect_with(&server, &Handshake::new().path("/ws/ws/chat")).await.is_ok());
}

#[tokio::test]
async fn documents_name_the_public_url() {
    let config = ServerConfig::demo().with("PUBLIC_URL", "https://site.example:8443/chat/");
    let server = Server::start(config).await;
    let openapi = send(server.address(), "GET", "/openapi.json", &[]).await.json();
    assert_eq!(openapi["servers"][0]["url"], "https://site.example:8443/chat/");
    let asyncapi = send(server.address(), "GET", "/asyncapi.json", &[]).await.json();
    let server: &Value = &asyncapi["servers"]["chat"];
    assert_eq!((&server["host"], &server["pathname"]), (&"site.example:8443".into(), &"/chat".into()));
    assert_eq!(server["protocol"], "wss");
}

//! Which host names the server answers to, and what a rebound name can reach.

use std::net::SocketAddr;

use crate::http::exchange::{operator_address, send, send_raw};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::metric;
use crate::support::server::test_server::Server;

async fn status_for(address: SocketAddr, host: &str) -> u16 {
    send(address, "GET", "/health/live", &[("Host", host)]).await.status
}

#[tokio::test]
async fn rebound_name_opens_no_socket_and_reads_no_metrics() {
    let server = Server::start(ServerConfig::demo()).await;
    let operator = operator_address(&server).await;

    let handshake = Handshake::new().header("Host", "evil.example").origin("http://evil.example");
    let rejection = ChatClient::connect_with(&server, &handshake).await.err().unwrap();
    assert_eq!((rejection.status, rejection.body["code"].as_str()), (421, Some("NOT_AUTHORIZED")));
    let message = rejection.body["message"].as_str().unwrap();
    assert!(message.contains("PUBLIC_URL") && message.contains("ALLOWED_HOSTS"), "{message}");

    let headers = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    for (address, path) in [(operator, "/metrics"), (operator, "/health"), (server.address(), "/health")] {
        let refused = send(address, "GET", path, &headers).await;
        assert_eq!(refused.status, 421, "{path}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{path}");
        refused.assert_security_headers();
    }

    assert_eq!(metric(&server, "http_refused_hosts_total").await, 4.0);
    let is_line = |entry: &&serde_json::Value| entry["host"] == "evil.example";
    server.wait_for_log("the refused host", |entry| is_line(&entry)).await;
    assert_eq!(server.logs().iter().filter(is_line).count(), 1, "one line per minute");
}

#[tokio::test]
async fn loopback_server_answers_to_loopback_names_and_what_the_owner_lists() {
    let config = ServerConfig::demo()
        .with("PUBLIC_URL", "https://chat.example/")
        .with("ALLOWED_HOSTS", "chat.internal, 10.0.0.7");
    let server = Server::start(config).await;
    let operator = operator_address(&server).await;

    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("localhost.", 200),
        ("app.localhost:3000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("chat.example", 200),
        ("Chat.Example.:443", 200),
        ("chat.internal", 200),
        ("10.0.0.7", 200),
        ("10.0.0.8", 421),
        ("www.chat.example", 421),
        ("localhost.evil.example", 421),
        ("[2001:db8::1]", 421),
        ("", 400),
        ("a b", 400),
        ("user@localhost", 400),
        ("[::1", 400),
    ] {
        assert_eq!(status_for(server.address(), host).await, status, "{host:?}");
        let of_operator = send(operator, "GET", "/health", &[("Host", host)]).await.status;
        assert_eq!(of_operator, status, "{host:?} on the operator address");
    }
}

#[tokio::test]
async fn reachable_server_answers_to_addresses_but_not_to_names() {
    let server = Server::start(ServerConfig::demo().with("HOST", "0.0.0.0")).await;
    // The wildcard is not an address to connect to everywhere.
    let address = SocketAddr::from(([127, 0, 0, 1], server.address().port()));

    for (host, status) in [
        ("192.0.2.1:8080", 200),
        ("[2001:db8::1]", 200),
        // The connection comes in on loopback.
        ("localhost:8080", 200),
        ("evil.example", 421),
        ("chat", 421),
    ] {
        assert_eq!(status_for(address, host).await, status, "{host:?}");
    }
}

#[tokio::test]
async fn request_has_one_host_and_its_target_counts() {
    let server = Server::start(ServerConfig::demo()).await;
    let address = server.address();
    let get = async |version: &str, target: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let request = format!("GET {target} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        send_raw(address, request.as_bytes()).await.status
    };

    assert_eq!(get("1.0", "/health/live", &[]).await, 200);
    assert_eq!(get("1.1", "/health/live", &[]).await, 400);
    assert_eq!(get("1.1", "/health/live", &["localhost", "localhost"]).await, 400);
    assert_eq!(get("1.1", "/health/live", &["localhost", "evil.example"]).await, 400);
    assert_eq!(get("1.0", "/health/live", &["evil.example"]).await, 421);
    assert_eq!(get("1.1", "http://localhost/health/live", &["localhost"]).await, 200);
    assert_eq!(get("1.1", "http://evil.example/health/live", &["localhost"]).await, 421);
    assert_eq!(get("1.1", "http://localhost/health/live", &["evil.example"]).await, 421);
}

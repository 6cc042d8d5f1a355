//! `ALLOWED_ORIGINS` for modules, documents and errors, and who may show the page in a frame.

use crate::http::exchange::send;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;

const LISTED: &str = "https://ada.example";

async fn start() -> Server {
    Server::start(ServerConfig::demo().with("ALLOWED_ORIGINS", LISTED)).await
}

#[tokio::test]
async fn listed_origins_and_the_own_one_may_read_responses() {
    let server = start().await;
    let own = format!("http://{}", server.address());
    let module = send(server.address(), "GET", "/client.js", &[]).await.text();
    let revision = module.split("./assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let revision_file = format!("/assets/{revision}");

    for path in ["/client.js", &revision_file, "/openapi.json", "/health/live", "/nowhere", "/health?deep=x"]
    {
        for (origin, is_allowed) in
            [(LISTED, true), (&own, true), ("https://evil.example", false), ("null", false), ("", false)]
        {
            let response = send(server.address(), "GET", path, &[("Origin", origin)]).await;
            let expected = is_allowed.then(|| origin.to_owned());
            assert_eq!(response.header("access-control-allow-origin"), expected, "{path} for {origin:?}");
            assert_eq!(response.header("access-control-allow-credentials"), None, "{path}");
            assert!(response.expect_header("vary").contains("origin"), "{path} for {origin:?}");
            if is_allowed {
                let exposed = response.expect_header("access-control-expose-headers");
                assert!(exposed.contains("Retry-After") && exposed.contains("X-Request-ID"), "{exposed}");
            }
        }
    }
}

#[tokio::test]
async fn preflights_name_methods_and_headers_for_listed_origins_only() {
    let server = start().await;
    let preflight = async |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "content-type, last-event-id"),
        ];
        send(server.address(), "OPTIONS", "/health", &headers).await
    };

    let allowed = preflight(LISTED).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.expect_header("access-control-allow-origin"), LISTED);
    assert!(allowed.expect_header("access-control-allow-methods").contains("GET"));
    let headers = allowed.expect_header("access-control-allow-headers").to_lowercase();
    assert!(headers.contains("content-type") && headers.contains("last-event-id"), "{headers}");
    assert!(allowed.expect_header("access-control-max-age").parse::<u32>().unwrap() >= 600);
    assert!(allowed.expect_header("vary").contains("access-control-request-headers"));

    let refused = preflight("https://evil.example").await;
    for name in ["allow-origin", "allow-methods", "allow-headers", "max-age"] {
        assert_eq!(refused.header(&format!("access-control-{name}")), None, "{name}");
    }
}

#[tokio::test]
async fn listed_origins_may_use_the_event_stream() {
    let server = start().await;
    for (path, methods) in [("/sse/chat", "GET, POST, OPTIONS"), ("/sse/chat/0", "POST, OPTIONS")] {
        let headers = [
            ("Origin", LISTED),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        let preflight = send(server.address(), "OPTIONS", path, &headers).await;
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.expect_header("access-control-allow-methods"), methods);
        assert_eq!(preflight.expect_header("access-control-allow-origin"), LISTED);
    }
    // The page can read why its frames were not accepted.
    let unknown = send(server.address(), "POST", "/sse/chat/0", &[("Origin", LISTED)]).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("CONNECTION_NOT_FOUND")));
    assert_eq!(unknown.expect_header("access-control-allow-origin"), LISTED);
    let refused = send(server.address(), "POST", "/sse/chat", &[("Origin", "https://evil.example")]).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn listed_origins_may_show_the_page_in_a_frame() {
    let server = start().await;
    let policy = send(server.address(), "GET", "/", &[]).await.expect_header("content-security-policy");
    assert!(policy.contains(&format!("frame-ancestors 'self' {LISTED}")), "{policy}");
    for (path, policy) in [("/client.js", "cross-origin"), ("/health", "same-origin")] {
        let response = send(server.address(), "GET", path, &[]).await;
        assert_eq!(response.expect_header("cross-origin-resource-policy"), policy, "{path}");
    }
}

#[tokio::test]
async fn origin_of_the_public_url_is_the_own_one_whatever_host_the_proxy_sends() {
    let config = ServerConfig::demo().with("PUBLIC_URL", "https://chat.example/");
    let server = Server::start(config).await;

    for (host, origin, is_allowed) in [
        ("127.0.0.1:8080", "https://chat.example", true),
        ("chat.example", "https://chat.example", true),
        ("127.0.0.1:8080", "https://evil.example", false),
    ] {
        let handshake = Handshake::new().header("Host", host).origin(origin);
        let is_open = ChatClient::connect_with(&server, &handshake).await.is_ok();
        assert_eq!(is_open, is_allowed, "{origin} at {host}");
    }
}

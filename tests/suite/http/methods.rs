//! HEAD, OPTIONS, unknown methods, unknown paths, and slashes too many.

use crate::http::exchange::{operator_address, send};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;

const READABLE: [&str; 12] = [
    "/",
    "/client.js",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.webmanifest",
    "/health",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/docs/start.js",
];

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start(ServerConfig::demo()).await;
    let operator = operator_address(&server).await;
    // The health report changes with time.
    send(server.address(), "GET", "/health?deep=true", &[]).await;

    let visitors = READABLE.map(|path| (server.address(), path));
    for (address, path) in visitors.into_iter().chain([(operator, "/metrics"), (operator, "/health")]) {
        let (get, head) = (send(address, "GET", path, &[]).await, send(address, "HEAD", path, &[]).await);
        assert_eq!((get.status, head.status), (200, 200), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        for name in ["content-type", "etag", "cache-control", "vary", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        if !path.starts_with("/health") && path != "/metrics" {
            assert_eq!(head.expect_header("content-length"), get.body.len().to_string(), "{path}");
        }
        head.assert_security_headers();
        get.assert_security_headers();
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_what_is_allowed() {
    let server = Server::start(ServerConfig::demo()).await;
    let operator = operator_address(&server).await;

    for (address, path, allowed) in [
        (server.address(), "/", "GET, HEAD, OPTIONS"),
        (server.address(), "/health", "GET, HEAD, OPTIONS"),
        (server.address(), "/ws/chat", "GET, OPTIONS"),
        (operator, "/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let options = send(address, "OPTIONS", path, &[]).await;
        assert_eq!((options.status, options.expect_header("allow").as_str()), (204, allowed), "{path}");
        assert!(options.body.is_empty(), "{path}");
        for method in ["POST", "DELETE", "BREW"] {
            let refused = send(address, method, path, &[]).await;
            assert_eq!(
                (refused.status, refused.expect_header("allow").as_str()),
                (405, allowed),
                "{method} {path}"
            );
            assert_eq!(refused.json()["code"], "VALIDATION_ERROR", "{method} {path}");
            refused.assert_security_headers();
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_json_errors() {
    let server = Server::start(ServerConfig::demo()).await;
    let operator = operator_address(&server).await;

    for (address, path) in [
        (server.address(), "/nowhere"),
        (server.address(), "/nowhere/"),
        (server.address(), "/assets/0/none.js"),
        (server.address(), "//"),
        (operator, "/"),
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let missing = send(address, method, path, &[]).await;
            let statuses = if path.starts_with("/assets") { [404, 405, 204] } else { [404; 3] };
            assert!(statuses.contains(&missing.status), "{method} {path}: {missing:?}");
            missing.assert_security_headers();
            if missing.status == 404 && method != "HEAD" {
                assert_eq!(missing.json()["code"], "VALIDATION_ERROR", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn slashes_too_many_are_redirected_relatively() {
    let server = Server::start(ServerConfig::demo()).await;

    for (path, location) in [
        ("/docs/", "../docs"),
        ("/docs/?deep=1", "../docs?deep=1"),
        ("/docs//", "../../docs"),
        ("/health/live/", "../live"),
    ] {
        let redirect = send(server.address(), "GET", path, &[]).await;
        assert_eq!((redirect.status, redirect.expect_header("location").as_str()), (308, location), "{path}");
        redirect.assert_security_headers();
        let base = reqwest::Url::parse("https://example.com/chat").unwrap();
        let base = reqwest::Url::parse(&format!("{base}{path}")).unwrap();
        let target = base.join(location).unwrap();
        assert!(target.path().starts_with("/chat/") && !target.path().ends_with('/'), "{target}");
    }
    assert_eq!(send(server.address(), "GET", "//evil.example/", &[]).await.status, 404);
}

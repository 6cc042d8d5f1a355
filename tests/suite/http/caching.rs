//! Entity tags, 304, compression, and how long files are kept.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::http::exchange::send;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;

/// Files with the encodings that they are served in.
const FILES: [(&str, &[&str]); 7] = [
    ("/", &["gzip"]),
    ("/openapi.json", &["gzip"]),
    ("/asyncapi.json", &["gzip"]),
    ("/docs", &["gzip"]),
    ("/docs/swagger-ui.css", &["gzip"]),
    ("/manifest.webmanifest", &["gzip"]),
    ("module", &["gzip", "br"]),
];

/// Returns the address of the largest module.
async fn module_path(server: &Server) -> String {
    let entry_point = send(server.address(), "GET", "/client.js", &[]).await.text();
    let path = entry_point.split("./assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    format!("/assets/{path}")
}

#[tokio::test]
async fn files_are_compressed_as_the_client_accepts_and_revalidated_by_their_tag() {
    let server = Server::start(ServerConfig::demo()).await;
    let module = module_path(&server).await;

    for (path, encodings) in FILES {
        let path = if path == "module" { module.as_str() } else { path };
        let get = async |headers: &[(&str, &str)]| send(server.address(), "GET", path, headers).await;
        let plain = get(&[]).await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let mut tags = vec![plain.expect_header("etag")];

        for encoding in encodings {
            let accept = ("Accept-Encoding", *encoding);
            let compressed = get(&[accept]).await;
            assert_eq!(compressed.header("content-encoding").as_deref(), Some(*encoding), "{path}");
            assert!(compressed.body.len() < plain.body.len(), "{path} {encoding}");
            assert!(compressed.expect_header("vary").contains("accept-encoding"), "{path}");
            if *encoding == "gzip" {
                let mut content = Vec::new();
                GzDecoder::new(&compressed.body[..]).read_to_end(&mut content).unwrap();
                assert!(content == plain.body, "{path} differs when compressed");
            }
            let tag = compressed.expect_header("etag");
            assert!(tag.starts_with('"'), "{tag} is not strong");
            let known = get(&[accept, ("If-None-Match", &tag)]).await;
            assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
            assert_eq!(known.header("etag"), Some(tag.clone()), "{path}");
            assert_eq!(known.header("cache-control"), compressed.header("cache-control"), "{path}");
            assert!(known.expect_header("vary").contains("accept-encoding"), "{path}");
            known.assert_security_headers();
            // The tag names the encoding.
            assert_eq!(get(&[("If-None-Match", &tag)]).await.status, 200, "{path}");
            tags.push(tag);
        }
        let weak = format!("\"other\", W/{}", tags[0]);
        assert_eq!(get(&[("If-None-Match", &weak)]).await.status, 304, "{path}");
        let head = send(server.address(), "HEAD", path, &[("If-None-Match", &tags[0])]).await;
        assert_eq!(head.status, 304, "{path}");
        tags.dedup();
        assert_eq!(tags.len(), encodings.len() + 1, "{path}: encodings share a tag");
        assert_eq!(get(&[("Accept-Encoding", "gzip;q=0, br;q=0")]).await.header("content-encoding"), None);
        assert_eq!(get(&[("Accept-Encoding", "deflate, identity")]).await.header("content-encoding"), None);
    }
}

#[tokio::test]
async fn only_files_with_the_current_revision_are_kept_for_long() {
    let server = Server::start(ServerConfig::demo()).await;
    let module = module_path(&server).await;
    let file = module.splitn(4, '/').nth(3).unwrap();
    let other_revision = format!("/assets/0123456789abcdef/{file}");

    for (path, expected) in [
        (module.as_str(), "public, max-age=31536000, immutable"),
        (&other_revision, "no-cache"),
        ("/", "no-cache"),
        ("/client.js", "no-cache"),
        ("/favicon.ico", "public, max-age=86400"),
        ("/robots.txt", "public, max-age=86400"),
        ("/health", "no-store"),
    ] {
        let response = send(server.address(), "GET", path, &[]).await;
        assert_eq!(response.expect_header("cache-control"), expected, "{path}");
    }
}

//! The size of everything that the widget loads.

use crate::support::client::http::get_with;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;

/// All files of the widget together, compressed.
const MAX_BYTES: usize = 30 * 1024;

#[tokio::test]
async fn widget_with_chat_and_one_language_has_at_most_30_kib() {
    let server = Server::start(ServerConfig::demo()).await;
    let size_of = async |path: &str| {
        let response = get_with(&server, path, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-encoding"), Some("gzip"), "{path}");
        response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(usize::MAX)
    };
    let widget = get_with(&server, "/widget.js", &[]).await.body;
    let after = widget.split("./assets/").nth(1).unwrap_or_default();
    let revision = after.split('/').next().unwrap_or_default();

    let mut sizes = vec![("widget", size_of("/widget.js").await)];
    sizes.push(("chat", size_of(&format!("/assets/{revision}/widget/chat.js")).await));
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/locales")).unwrap() {
        let language = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        texts.push(size_of(&format!("/assets/{revision}/locales/{language}.js")).await);
    }
    sizes.push(("texts", texts.into_iter().max().unwrap_or_default()));

    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    assert!(total <= MAX_BYTES, "{total} bytes: {sizes:?}");
}

//! The size and the form of the files that the widget loads.
//!
//! The limit applies to brotli, which browsers accept over TLS. Over plain HTTP they ask for gzip;
//! those sizes are only printed.

use std::fs;
use std::io::Write as _;

use crate::support::client::http::get_with;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::external_tools::{command, node_modules, run_tool};

/// All files that are loaded until an answer with Markdown is rated, compressed with brotli.
const MAX_BYTES: usize = 30 * 1024;

/// Bundles that the chat loads when they are needed.
const ON_DEMAND: [&str; 2] = ["ui/conversations-list.js", "ui/comment-form.js"];

/// Single modules that the chat loads when they are needed. The last four are those of the
/// transports that replace a WebSocket.
const ON_DEMAND_MODULES: [&str; 5] = [
    "client/deletion.js",
    "client/event-stream.js",
    "client/event-stream-parser.js",
    "client/event-request.js",
    "client/requests.js",
];

/// Returns the directory of the assets.
async fn assets(server: &Server) -> String {
    let widget = get_with(server, "/widget.js", &[]).await.body;
    let after = widget.split("./assets/").nth(1).unwrap_or_default();
    format!("/assets/{}", after.split('/').next().unwrap_or_default())
}

/// Returns the size of a response with this encoding.
async fn size_of(server: &Server, path: &str, encoding: &str) -> usize {
    let response = get_with(server, path, &[("Accept-Encoding", encoding)]).await;
    assert_eq!(response.status, 200, "{path}");
    assert_eq!(response.header("content-encoding"), Some(encoding), "{path}");
    response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(usize::MAX)
}

/// Returns the size of what every visitor loads in the language with the largest texts, and a line
/// about all parts.
async fn measure(server: &Server, encoding: &str) -> (usize, String) {
    let size_of = async |path: &str| size_of(server, path, encoding).await;
    let assets = assets(server).await;
    let mut texts = Vec::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/locales")).unwrap() {
        let language = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let size = size_of(&format!("{assets}/locales/{language}.js")).await;
        texts.push((size, size_of(&format!("{assets}/locales/more/{language}.js")).await));
    }
    let (texts, more_texts) = texts.into_iter().max().unwrap_or_default();

    let widget = size_of("/widget.js").await;
    let chat = size_of(&format!("{assets}/widget/chat.js")).await;
    let always = widget + chat + texts;
    let mut on_demand = more_texts;
    for path in ON_DEMAND.iter().chain(&ON_DEMAND_MODULES) {
        on_demand += size_of(&format!("{assets}/{path}")).await;
    }

    let sizes = format!(
        "{encoding}: widget {widget} + chat {chat} + texts {texts} = {always} bytes, and {on_demand} on demand: {} in all",
        always + on_demand
    );
    (always, sizes)
}

#[tokio::test]
async fn widget_with_chat_and_one_language_has_at_most_30_kib_with_brotli() {
    let server = Server::start(ServerConfig::demo()).await;

    let (always, sizes) = measure(&server, "br").await;
    let (_, gzip_sizes) = measure(&server, "gzip").await;

    // The harness would hide what `println!` writes.
    writeln!(std::io::stderr(), "{sizes}\n{gzip_sizes}").unwrap();
    assert!(always <= MAX_BYTES, "{sizes}");
}

#[tokio::test]
async fn bundles_are_modules_without_imports() {
    let Some(_) = node_modules("the bundles of the widget") else { return };
    let server = Server::start(ServerConfig::demo()).await;
    let assets = assets(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let exports = [
        ("widget/chat.js", "mountChat,styles"),
        (ON_DEMAND[0], "ConversationsList"),
        (ON_DEMAND[1], "showCommentForm"),
    ];
    for (index, (path, names)) in exports.into_iter().enumerate() {
        let bundle = get_with(&server, &format!("{assets}/{path}"), &[]).await.body;
        let file = format!("{index}.mjs");
        fs::write(directory.path().join(&file), bundle).unwrap();
        // A module with imports could not find them in this directory.
        let script = format!("import * as it from './{file}'; console.log(Object.keys(it).join())");
        let node = command("node", &["--input-type=module", "--eval", &script], directory.path());

        let output = run_tool(node, "").await;

        assert!(output.succeeded, "{path}: {}", output.stderr);
        assert_eq!(output.stdout.trim(), names, "{path}");
    }
}

//! The recipe for deep-chat, with the real component in a browser.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

use std::fs;

use crate::client_package::installed_package::readme_examples;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::site::HostSite;
use crate::support::tools::browser::scenario::in_browsers;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::tools::external_tools::node_modules;

in_browsers!(deep_chat_shows_the_answer: chromium Chromium);

/// The field and the answers of the component.
const FIELD: &str = "deep-chat >>> #text-input";
const ANSWER: &str = "document.querySelector('deep-chat').shadowRoot.querySelector('.ai-message-text')";

async fn deep_chat_shows_the_answer(kind: BrowserKind) {
    let Some(modules) = node_modules("deep-chat") else { return };
    let site = HostSite::start().await;
    let server = Server::start(ServerConfig::demo().with("ALLOWED_ORIGINS", site.origin())).await;
    let recipe = readme_examples(server.address()).into_iter().find(|(name, _)| name == "deep_chat.mjs");
    let script = [("Content-Type", "text/javascript")];
    site.file("/recipe.js", recipe.unwrap().1.as_bytes(), &script);
    let component = fs::read(modules.join("deep-chat/dist/deepChat.bundle.js")).unwrap();
    site.file("/deep-chat.js", &component, &script);
    let page = format!(
        r#"<!doctype html><html lang="en"><title>Mara</title>
        <script type="importmap">{{"imports": {{"resume-chatbot-client": "{}"}}}}</script>
        <deep-chat></deep-chat>
        <script type="module">
          import "/deep-chat.js";
          import {{ connect }} from "/recipe.js";
          document.querySelector("deep-chat").connect = connect;
        </script></html>"#,
        server.http_url("/client.js")
    );
    site.page("/", &page, &[]);
    let browser = Browser::start(kind).await;
    browser.open(&format!("{}/", site.origin())).await;
    let is_ready = "!!document.querySelector('deep-chat')?.shadowRoot?.querySelector('#text-input')";
    browser.wait_until("the component", is_ready).await;

    browser.type_into(FIELD, "Which languages does Mara speak?\n").await;

    browser.wait_until("the answer", &format!("{ANSWER}?.textContent.includes('Swedish')")).await;
}

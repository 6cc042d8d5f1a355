//! A page of an owner's site with the widget, in a browser.

use serde_json::Value;

use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::site::HostSite;
use crate::support::tools::browser::{Browser, BrowserKind, Preferences};

/// The widget's elements, as paths into its shadow root.
pub(super) const BUBBLE: &str = "resume-chat >>> .bubble";
pub(super) const PANEL: &str = "resume-chat >>> .panel";
pub(super) const QUESTION: &str = "resume-chat >>> .chat textarea";

/// A site, a server that allows it, and a browser.
pub(super) struct Embedded {
    pub(super) browser: Browser,
    pub(super) server: Server,
    pub(super) site: HostSite,
}

impl Embedded {
    /// Starts a demo server that allows the site, and a browser.
    pub(super) async fn start(kind: BrowserKind) -> Self {
        Self::start_with(kind, Preferences::default()).await
    }

    pub(super) async fn start_with(kind: BrowserKind, preferences: Preferences) -> Self {
        let site = HostSite::start().await;
        let server = Server::start(ServerConfig::demo().with("ALLOWED_ORIGINS", site.origin())).await;
        let browser = Browser::start_with(kind, preferences).await;
        Self { browser, server, site }
    }

    /// Opens a page with this body and the widget's script, and waits for the widget.
    pub(super) async fn open_page(&self, body: &str) {
        self.publish("/", body, &[]);
        self.browser.open(&format!("{}/", self.site.origin())).await;
        self.wait_for(&format!("!!{}", element("resume-chat >>> .root"))).await;
    }

    /// Publishes a page with this body and the widget's script.
    pub(super) fn publish(&self, path: &str, body: &str, headers: &[(&str, &str)]) {
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ada</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <script type=\"module\" src=\"{}\"></script></head><body><main><h1>Ada</h1>{body}</main></body></html>",
            self.server.http_url("/widget.js")
        );
        self.site.page(path, &html, headers);
    }

    /// Opens the panel as a visitor does, and waits for the chat in it.
    pub(super) async fn open_chat(&self) {
        self.browser.click(BUBBLE).await;
        self.wait_for_chat().await;
    }

    pub(super) async fn wait_for_chat(&self) {
        self.wait_for(&format!("{}?.getClientRects().length > 0", element(QUESTION))).await;
    }

    /// Asks a question and waits for the complete answer. Returns its text.
    pub(super) async fn ask(&self, question: &str) -> String {
        self.browser.type_into(QUESTION, &format!("{question}\n")).await;
        self.wait_for(&format!("{}?.dataset.status === 'complete'", element(LAST_TURN))).await;
        let text = format!("{}.innerText.trim()", element(&format!("{LAST_TURN} .text")));
        self.browser.evaluate(&text).await.as_str().unwrap_or_default().to_owned()
    }

    pub(super) async fn wait_for(&self, expression: &str) {
        self.browser.wait_until(expression, expression).await;
    }

    /// Evaluates an expression about the element at a path, which is `it` there.
    pub(super) async fn of(&self, path: &str, expression: &str) -> Value {
        self.browser.evaluate(&format!("((it) => {expression})({})", element(path))).await
    }

    pub(super) async fn is_open(&self) -> bool {
        self.of("resume-chat", "it.hasAttribute('open')").await == true
    }
}

/// The last question with its answer.
pub(super) const LAST_TURN: &str = "resume-chat >>> .turn:last-child";

/// Returns an expression for the element at a path.
pub(super) fn element(path: &str) -> String {
    Browser::element(path)
}

/// The innermost element that has the focus, as its part or its tag name.
pub(super) const FOCUSED: &str = "(() => { let it = document.activeElement; while (it?.shadowRoot?.activeElement) it = it.shadowRoot.activeElement; return it?.getAttribute('part') ?? it?.localName; })()";

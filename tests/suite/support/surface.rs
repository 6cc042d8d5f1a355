//! The chat as visitors meet it: on the server's own page, or as the widget on another origin.

use serde_json::{Value, json};

use crate::support::site::HostSite;
use crate::support::tools::browser::Browser;

/// Where the chat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// On the server's own page.
    Page,
    /// In the widget on the page of an owner's site.
    Widget,
}

/// Both places, for scenarios that have to hold in each.
pub(crate) const SURFACES: [Surface; 2] = [Surface::Page, Surface::Widget];

/// The state of the last turn.
const LAST_STATUS: &str = "it?.dataset.status";

impl Surface {
    /// Returns the path of an element of the chat.
    pub(crate) fn path(self, selector: &str) -> String {
        match self {
            Self::Page => selector.to_owned(),
            Self::Widget => format!("resume-chat >>> {selector}"),
        }
    }

    /// Opens the chat of the server at this base address as a visitor does, and waits until it is
    /// connected. The widget stands on the page that [`publish_widget`] has published.
    pub(crate) async fn open(self, browser: &Browser, server: &str, site: &HostSite) {
        match self {
            Self::Page => browser.open(&format!("{server}/")).await,
            Self::Widget => browser.open(&format!("{}/", site.origin())).await,
        }
        self.open_panel(browser).await;
        self.wait_until_connected(browser).await;
    }

    /// Opens the same address in another tab, and waits until the chat there is connected.
    pub(crate) async fn open_in_another_tab(self, browser: &Browser) {
        let address = browser.evaluate("location.href").await;
        browser.open_tab(address.as_str().unwrap_or_default()).await;
        self.open_panel(browser).await;
        self.wait_until_connected(browser).await;
    }

    async fn open_panel(self, browser: &Browser) {
        if self == Self::Widget {
            browser.click("resume-chat >>> .bubble").await;
        }
    }

    /// Waits until the connection is open.
    pub(crate) async fn wait_until_connected(self, browser: &Browser) {
        self.wait_for(browser, ".connection", "it?.dataset.state", "open").await;
    }

    /// Reloads the page, and waits until the connection is open. The panel of the widget opens by
    /// itself.
    pub(crate) async fn reload(self, browser: &Browser) {
        browser.refresh().await;
        self.wait_until_connected(browser).await;
    }

    /// Evaluates an expression about an element of the chat, which is `it` there.
    pub(crate) async fn of(self, browser: &Browser, selector: &str, expression: &str) -> Value {
        browser.evaluate(&self.expression(selector, expression)).await
    }

    /// Waits until an expression about an element of the chat has this value.
    pub(crate) async fn wait_for(self, browser: &Browser, selector: &str, expression: &str, value: &str) {
        let what = format!("{expression} of {selector} to be {value:?} ({self:?})");
        let condition = format!("{} === {}", self.expression(selector, expression), json!(value));
        browser.wait_until(&what, &condition).await;
    }

    /// Waits until an element of the chat is visible.
    pub(crate) async fn wait_until_visible(self, browser: &Browser, selector: &str) {
        let condition = self.expression(selector, "it?.getClientRects().length > 0");
        browser.wait_until(&format!("{selector} to be visible ({self:?})"), &condition).await;
    }

    fn expression(self, selector: &str, expression: &str) -> String {
        format!("((it) => {expression})({})", Browser::element(&self.path(selector)))
    }

    /// Sends a question.
    pub(crate) async fn send(self, browser: &Browser, question: &str) {
        browser.type_into(&self.path("#question"), &format!("{question}\n")).await;
        let asked = "it?.innerText.trim()";
        self.wait_for(browser, ".turn:last-child .asked", asked, question).await;
    }

    /// Sends a question, and waits until the answer is complete.
    pub(crate) async fn ask(self, browser: &Browser, question: &str) {
        self.send(browser, question).await;
        self.wait_for_status(browser, "complete").await;
    }

    /// Waits until the last turn has this status.
    pub(crate) async fn wait_for_status(self, browser: &Browser, status: &str) {
        self.wait_for(browser, ".turn:last-child", LAST_STATUS, status).await;
    }

    /// Waits until the last answer reads like this.
    pub(crate) async fn wait_for_answer(self, browser: &Browser, text: &str) {
        self.wait_for(browser, ".turn:last-child .text", "it?.innerText.trim()", text).await;
    }

    /// Returns the text of the last answer.
    pub(crate) async fn answer(self, browser: &Browser) -> Value {
        self.of(browser, ".turn:last-child .text", "it?.innerText.trim()").await
    }

    /// Returns the number of questions on the page.
    pub(crate) async fn turns(self, browser: &Browser) -> Value {
        self.of(browser, ".turns", "it?.querySelectorAll('.turn').length").await
    }
}

/// Publishes a page with the widget of the server at this base address. `html` are attributes of
/// its root element.
pub(crate) fn publish_widget(site: &HostSite, server: &str, html: &str, headers: &[(&str, &str)]) {
    let page = format!(
        "<!doctype html><html {html}><head><meta charset=\"utf-8\"><title>Ada</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <script type=\"module\" src=\"{server}/widget.js\"></script></head>\
         <body><main><h1>Ada</h1><p>Engineer in Lisbon.</p></main></body></html>"
    );
    site.page("/", &page, headers);
}

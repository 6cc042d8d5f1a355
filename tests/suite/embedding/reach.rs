//! The widget where the chat cannot be loaded, or storage is forbidden.

use super::embedded::{BUBBLE, Embedded, element};
use crate::support::tools::browser::BrowserKind;
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};

in_every_browser! {
    unreachable_server_is_reported_and_tried_again,
    site_that_is_not_listed_learns_what_to_set,
    widget_works_without_storage,
}

// Independent of the browser.
in_browsers!(policy_that_lacks_a_directive_is_explained: chromium Chromium);

const RECORD_ERRORS: &str = "<script>codes = []; logged = []; addEventListener('resume-chat:error', (event) => codes.push(event.detail.code)); const log = console.error; console.error = (...values) => { logged.push(String(values[0])); log(...values); };</script>";

const FAILED: &str = "The chat cannot be reached right now.";

async fn wait_for_failure(page: &Embedded) {
    let text = element("resume-chat >>> .status-text");
    page.browser.wait_until("the message", &format!("{text}?.innerText === '{FAILED}'")).await;
}

async fn unreachable_server_is_reported_and_tried_again(kind: BrowserKind) {
    let mut page = Embedded::start(kind).await;
    page.open_page(RECORD_ERRORS).await;

    page.server.kill().await;
    page.browser.click(BUBBLE).await;
    wait_for_failure(&page).await;
    page.browser.assert_accessible("the widget without its server").await;
    assert_eq!(page.browser.evaluate("codes").await, serde_json::json!(["UNREACHABLE"]));

    page.server.restart_on_the_same_port().await;
    page.browser.click_button("Try again").await;
    page.wait_for_chat().await;
    assert!(!page.ask("Which skills are listed?").await.is_empty());
}

async fn site_that_is_not_listed_learns_what_to_set(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    // Its pages are those of the listed site, under an origin that the server does not know.
    page.publish("/", RECORD_ERRORS, &[]);
    page.browser.open(&format!("{}/", page.site.localhost_origin())).await;
    page.browser.click(BUBBLE).await;
    wait_for_failure(&page).await;

    assert_eq!(page.browser.evaluate("codes").await, serde_json::json!(["ORIGIN_NOT_ALLOWED"]));
    let logged = page.browser.evaluate("logged.join()").await.to_string();
    let advice = format!("Add {} to ALLOWED_ORIGINS", page.site.localhost_origin());
    assert!(logged.contains(&advice), "{logged}");
}

async fn policy_that_lacks_a_directive_is_explained(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    let server = page.server.http_url("");
    let policy = format!("script-src 'unsafe-inline' {server}/widget.js; connect-src {server}");
    page.publish("/", RECORD_ERRORS, &[("Content-Security-Policy", &policy)]);
    page.browser.open(&format!("{}/", page.site.origin())).await;
    page.browser.click(BUBBLE).await;
    wait_for_failure(&page).await;

    assert_eq!(page.browser.evaluate("codes").await, serde_json::json!(["BLOCKED_BY_POLICY"]));
    let logged = page.browser.evaluate("logged.join()").await.to_string();
    assert!(logged.contains(&format!("script-src {server}; connect-src {server} ws://")), "{logged}");
}

async fn widget_works_without_storage(kind: BrowserKind) {
    const FORBID: &str = "<script>for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });</script>";
    let page = Embedded::start(kind).await;
    page.open_page(FORBID).await;
    page.open_chat().await;
    assert!(!page.ask("Which skills are listed?").await.is_empty());
}

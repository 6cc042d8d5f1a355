//! What a visitor of the owner's site does with the widget.

use serde_json::json;

use super::embedded::{BUBBLE, Embedded, FOCUSED, LAST_TURN, PANEL, QUESTION, element};
use crate::support::client::chat::Chat;
use crate::support::site::HostSite;
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::browser::{Browser, BrowserKind, Key};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

in_every_browser! {
    one_line_and_one_request_until_the_chat_is_opened,
    keyboard_opens_and_closes_and_the_focus_returns,
    conversation_and_open_panel_survive_a_page_load,
    second_tab_takes_the_conversation_over,
    phone_shows_the_chat_over_the_whole_screen,
}

// Independent of the browser.
in_browsers!(unread_answers_are_counted_on_the_bubble: chromium Chromium);

/// The paths of all requests to the server that the page knows of.
const REQUESTS: &str = "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname).filter((path) => path !== '/favicon.ico')";

async fn one_line_and_one_request_until_the_chat_is_opened(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;

    page.browser.wait_until("the page to be complete", "document.readyState === 'complete'").await;
    assert_eq!(page.browser.evaluate(REQUESTS).await, json!(["/widget.js"]));
    page.browser.assert_accessible("the closed widget").await;

    page.open_chat().await;
    let answer = page.ask("What is the work experience?").await;
    assert!(!answer.is_empty(), "the answer is empty");
    page.browser.assert_accessible("the open widget with an answer").await;

    let requests = page.browser.evaluate(REQUESTS).await;
    let loaded = requests.as_array().unwrap().iter().filter_map(|path| path.as_str());
    let files = loaded.filter(|path| path.contains("/assets/")).count();
    assert_eq!(files, 2, "not only the chat and its texts were loaded: {requests}");
    assert_eq!(page.browser.evaluate("document.cookie").await, "");
    let problems = page.browser.console_problems().await;
    assert!(problems.iter().all(|problem| problem.contains("favicon")), "{problems:#?}");
}

async fn keyboard_opens_and_closes_and_the_focus_returns(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;
    assert_eq!(page.of(BUBBLE, "it.ariaExpanded").await, "false");

    for key in ["\n", " "] {
        page.of(BUBBLE, "it.focus()").await;
        page.browser.type_text(key).await;
        page.wait_for_chat().await;
        page.wait_for(&format!("{FOCUSED} === 'input'")).await;
        assert_eq!(page.of(BUBBLE, "it.ariaExpanded").await, "true");
        page.browser.press(Key::Escape).await;
        page.wait_for(&format!("{FOCUSED} === 'bubble'")).await;
        assert!(!page.is_open().await);
        assert_eq!(page.of(PANEL, "it.getClientRects().length").await, 0);
    }
}

async fn conversation_and_open_panel_survive_a_page_load(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;
    page.open_chat().await;
    let answer = page.ask("Which skills are listed?").await;

    page.publish("/other", "", &[]);
    page.browser.open(&format!("{}/other", page.site.origin())).await;
    let shown = format!("{}?.innerText.trim()", element(&format!("{LAST_TURN} .text")));
    page.wait_for(&format!("{shown} === {}", json!(answer))).await;
    assert_eq!(page.browser.evaluate("document.activeElement.localName").await, "body", "focus was taken");

    page.browser.click(BUBBLE).await;
    page.browser.refresh().await;
    page.wait_for(&format!("!!{}", element(BUBBLE))).await;
    assert!(!page.is_open().await, "the panel opened again");
}

async fn second_tab_takes_the_conversation_over(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;
    page.open_chat().await;
    let answer = page.ask("Which skills are listed?").await;

    page.browser.open_tab(&format!("{}/", page.site.origin())).await;
    page.open_chat().await;
    let shown = format!("{}?.innerText.trim()", element(&format!("{LAST_TURN} .text")));
    page.wait_for(&format!("{shown} === {}", json!(answer))).await;

    page.browser.switch_to_tab(0).await;
    let state = format!("{}.dataset.state", element("resume-chat >>> .connection"));
    page.wait_for(&format!("{state} === 'closed'")).await;
    page.browser.click_button("Continue here").await;
    page.wait_for(&format!("{state} === 'open'")).await;
}

async fn unread_answers_are_counted_on_the_bubble(kind: BrowserKind) {
    let site = HostSite::start().await;
    let chat = Chat::new(&[("ALLOWED_ORIGINS", &site.origin())]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
    let browser = Browser::start(kind).await;
    let page = Embedded { browser, server: chat.server, site };
    page.open_page("<script>counts = []; addEventListener('resume-chat:unread', (event) => counts.push(event.detail.count))</script>").await;

    page.open_chat().await;
    page.browser.type_into(QUESTION, "Count, please.\n").await;
    page.wait_for(&format!("!!{}", element(LAST_TURN))).await;
    page.browser.press(Key::Escape).await;
    gate.open();

    let badge = element("resume-chat >>> .badge");
    page.wait_for(&format!("{badge}.textContent === '1'")).await;
    let label = page.of(BUBBLE, "it.ariaLabel").await;
    assert_eq!(label, "Open chat. Unread messages: 1");
    page.open_chat().await;
    page.wait_for(&format!("{badge}.textContent === ''")).await;
    assert_eq!(page.browser.evaluate("counts").await, json!([1, 0]));
}

async fn phone_shows_the_chat_over_the_whole_screen(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.browser.set_viewport(375, 812).await;
    page.open_page("<div style=\"height: 3000px\"></div><a href=\"#\">Behind</a>").await;

    page.open_chat().await;
    page.wait_for(&format!("{}.getAnimations().length === 0", element(PANEL))).await;
    let size = page.of(PANEL, "[it.getBoundingClientRect().width, it.getBoundingClientRect().height]").await;
    assert_eq!(size, json!([375, 812]), "the panel does not fill the screen");
    let overflow = "getComputedStyle(document.documentElement).overflowY";
    assert_eq!(page.browser.evaluate(overflow).await, "hidden", "the page behind scrolls");
    page.browser.assert_accessible("the widget on a phone").await;
    for _ in 0..20 {
        page.browser.press(Key::Tab).await;
        let focused = page.browser.evaluate(FOCUSED).await;
        assert_ne!(focused, "a", "the focus left the dialog");
    }

    page.browser.click("resume-chat >>> [part=close]").await;
    page.wait_for(&format!("{FOCUSED} === 'bubble'")).await;
    assert_eq!(page.browser.evaluate(overflow).await, "visible");

    page.open_chat().await;
    page.browser.refresh().await;
    page.wait_for(&format!("!!{}", element(BUBBLE))).await;
    assert!(!page.is_open().await, "the chat covers the next page");
}

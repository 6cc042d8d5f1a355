//! How the widget looks: attributes, themes, text directions, and pages with unfriendly styles.

use serde_json::json;

use super::embedded::{BUBBLE, Embedded, PANEL, element};
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::browser::{BrowserKind, Preferences};

in_every_browser! {
    unfriendly_styles_of_the_page_have_no_effect,
    inline_chat_is_a_part_of_the_page,
}

// Independent of the browser.
in_browsers!(attributes_apply_while_the_chat_is_open: chromium Chromium);
in_browsers!(text_on_the_accent_is_readable: chromium Chromium);
in_browsers!(theme_follows_the_page_and_the_visitor: chromium Chromium);
in_browsers!(right_to_left_page_has_the_bubble_on_the_left: chromium Chromium);
in_browsers!(replaced_body_has_the_widget_again: chromium Chromium);

async fn attributes_apply_while_the_chat_is_open(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("<resume-chat chat-title=\"First\" suggestions=\"One? | Two?\"></resume-chat>").await;
    page.open_chat().await;

    let title = element("resume-chat >>> [part=title]");
    page.wait_for(&format!("{title}.textContent === 'First'")).await;
    page.of("resume-chat", "it.setAttribute('chat-title', 'Second')").await;
    page.of("resume-chat", "it.setAttribute('greeting', 'Hello there.')").await;
    page.of("resume-chat", "it.setAttribute('suggestions', '[\"A | B?\"]')").await;
    page.wait_for(&format!("{title}?.textContent === 'Second'")).await;
    page.wait_for(&format!("{}?.textContent === 'Hello there.'", element("resume-chat >>> [part=greeting]")))
        .await;
    page.wait_for(&format!("{}?.textContent === 'A | B?'", element("resume-chat >>> [part=suggestions]")))
        .await;

    page.of("resume-chat", "it.setAttribute('position', 'bottom-left')").await;
    assert_eq!(page.of(BUBBLE, "it.getBoundingClientRect().left").await, 20);
    page.of("resume-chat", "it.setAttribute('language', 'ar')").await;
    page.wait_for(&format!("{}.dir === 'rtl'", element("resume-chat >>> .root"))).await;
    page.of("resume-chat", "it.removeAttribute('open')").await;
    page.wait_for(&format!("{}.getClientRects().length === 0", element(PANEL))).await;
}

async fn text_on_the_accent_is_readable(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("<resume-chat></resume-chat>").await;

    for (accent, text) in [
        ("gold", "rgb(0, 0, 0)"),
        ("#123", "rgb(255, 255, 255)"),
        ("hsl(0 0% 46%)", "rgb(255, 255, 255)"),
        ("oklch(0.9 0.1 200)", "rgb(0, 0, 0)"),
    ] {
        page.of("resume-chat", &format!("it.setAttribute('accent', '{accent}')")).await;
        assert_eq!(page.of(BUBBLE, "getComputedStyle(it).color").await, text, "on {accent}");
    }
    let default = page.of("resume-chat", "it.removeAttribute('accent')").await;
    assert!(default.is_null());
    page.of("resume-chat", "it.setAttribute('accent', 'no colour; }')").await;
    assert_eq!(page.of(BUBBLE, "getComputedStyle(it).backgroundColor").await, "rgb(47, 111, 104)");
    page.of("resume-chat", "it.removeAttribute('accent')").await;
    page.of("resume-chat", "it.style.setProperty('--chat-accent', 'gold')").await;
    page.of("resume-chat", "it.setAttribute('theme', 'light')").await;
    assert_eq!(page.of(BUBBLE, "getComputedStyle(it).color").await, "rgb(0, 0, 0)", "by the property");
}

async fn theme_follows_the_page_and_the_visitor(kind: BrowserKind) {
    let dark = Preferences { dark: true, ..Preferences::default() };
    let page = Embedded::start_with(kind, dark).await;
    page.open_page("<resume-chat></resume-chat>").await;
    let theme = format!("{}.dataset.theme", element("resume-chat >>> .root"));

    assert_eq!(page.browser.evaluate(&theme).await, "dark", "not the visitor's preference");
    page.browser.evaluate("document.documentElement.style.colorScheme = 'light'").await;
    page.wait_for(&format!("{theme} === 'light'")).await;
    page.browser.evaluate("document.documentElement.style.colorScheme = 'light dark'").await;
    page.wait_for(&format!("{theme} === 'dark'")).await;
    page.of("resume-chat", "it.setAttribute('theme', 'light')").await;
    page.wait_for(&format!("{theme} === 'light'")).await;
    page.open_chat().await;
    page.of("resume-chat", "it.setAttribute('theme', 'dark')").await;
    let chat = element("resume-chat >>> .chat");
    page.wait_for(&format!("getComputedStyle({chat}).colorScheme === 'dark'")).await;
    // The page itself has no colours for a dark scheme.
    page.browser.evaluate("document.documentElement.style.colorScheme = 'light'").await;
    page.browser.assert_accessible("the dark widget").await;
}

async fn right_to_left_page_has_the_bubble_on_the_left(kind: BrowserKind) {
    let arabic = Preferences { language: "ar", ..Preferences::default() };
    let page = Embedded::start_with(kind, arabic).await;
    page.open_page("<script>document.documentElement.dir = 'rtl'</script>").await;

    assert_eq!(page.of(BUBBLE, "it.getBoundingClientRect().left").await, 20);
    assert_eq!(page.of(BUBBLE, "it.ariaLabel").await, "فتح المحادثة");
    page.open_chat().await;
    assert_eq!(page.of("resume-chat >>> .chat", "getComputedStyle(it).direction").await, "rtl");
    page.browser.assert_accessible("the widget from right to left").await;
}

async fn unfriendly_styles_of_the_page_have_no_effect(kind: BrowserKind) {
    const STYLES: &str = "<style>* { all: revert; font-size: 30px !important; color: red; letter-spacing: 4px; text-transform: uppercase; line-height: 3 !important } div, section, dialog, button, svg, span, p { display: none !important } .trap { display: block !important; transform: rotate(3deg); overflow: hidden; height: 1px }</style>";
    const GEOMETRY: &str = "[...it.shadowRoot.querySelectorAll('.bubble, .panel, .chat, .chat [part=title], .chat textarea, .chat button, .chat [part=greeting]')].map((node) => [node.className, node.getBoundingClientRect().toJSON(), getComputedStyle(node).fontSize, getComputedStyle(node).textTransform])";
    let page = Embedded::start(kind).await;
    let mut seen = Vec::new();
    for styles in ["", STYLES] {
        page.open_page(&format!("{styles}<div class=\"trap\"><resume-chat></resume-chat></div>")).await;
        page.browser.evaluate("sessionStorage.clear()").await;
        page.browser.refresh().await;
        page.open_chat().await;
        let suggestions = element("resume-chat >>> [part=suggestions] button");
        page.wait_for(&format!("!!{suggestions}")).await;
        // The animation of the panel has ended when its place no longer changes.
        page.wait_for(&format!("{}.getAnimations().length === 0", element(PANEL))).await;
        seen.push(page.of("resume-chat", GEOMETRY).await);
    }
    assert_eq!(seen[0], seen[1], "styles of the page change the widget");
}

async fn inline_chat_is_a_part_of_the_page(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    let body = "<div style=\"height: 3000px\"></div><resume-chat mode=\"inline\"></resume-chat>";
    page.open_page(body).await;

    assert_eq!(page.of("resume-chat", "it.shadowRoot.querySelector('.chat')").await, json!(null));
    assert_eq!(page.of("resume-chat", "it.shadowRoot.querySelector('.bubble')").await, json!(null));
    page.of("resume-chat", "it.scrollIntoView()").await;
    page.wait_for_chat().await;
    assert!(!page.ask("Which skills are listed?").await.is_empty());
    let close = page.of("resume-chat >>> [part=close]", "it.getClientRects().length").await;
    assert_eq!(close, 0, "the inline chat can be closed");

    page.of("resume-chat", "it.setAttribute('mode', 'bubble')").await;
    page.open_chat().await;
}

async fn replaced_body_has_the_widget_again(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;
    page.open_chat().await;

    let replace =
        "document.documentElement.replaceChild(document.createElement('body'), document.body) && null";
    page.browser.evaluate(replace).await;
    page.wait_for(&format!("!!{}", element(BUBBLE))).await;
    page.wait_for_chat().await;
    assert_eq!(page.browser.evaluate("document.querySelectorAll('resume-chat').length").await, 1);
}

//! The browsers do what later scenarios rely on: input in shadow roots, preferences, tabs, sizes,
//! policies.

use crate::support::site::HostSite;
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::browser::{Browser, BrowserKind, Key, Preferences};

in_every_browser! {
    input_reaches_elements_in_nested_shadow_roots,
    preferences_of_the_visitor_reach_the_page,
    viewport_has_the_chosen_size_down_to_320_by_256,
    strict_policy_is_enforced_but_does_not_hinder_the_test,
    tabs_are_opened_switched_and_found,
}

in_browsers!(tab_goes_offline_and_back: chromium Chromium, firefox Firefox);

const SHADOW_PAGE: &str = r#"<!doctype html><html lang="en"><title>Shadow</title><main><h1>Host</h1>
<div style="height: 3000px"></div><x-outer></x-outer></main><script>
customElements.define("x-outer", class extends HTMLElement {
  connectedCallback() {
    this.attachShadow({ mode: "open" }).innerHTML = "<p>Outer</p><x-inner></x-inner>";
  }
});
customElements.define("x-inner", class extends HTMLElement {
  connectedCallback() {
    this.attachShadow({ mode: "open" }).innerHTML =
      "<label>Name <input></label><button>Send</button><img src='data:,'>";
    const root = this.shadowRoot;
    window.keys = [];
    root.querySelector("input").addEventListener("keydown", (event) => window.keys.push(event.key));
    root.querySelector("button").addEventListener("click", (event) => { window.trusted = event.isTrusted; });
  }
});
</script>"#;

async fn input_reaches_elements_in_nested_shadow_roots(kind: BrowserKind) {
    let site = HostSite::start().await;
    site.page("/", SHADOW_PAGE, &[]);
    let browser = Browser::start(kind).await;

    browser.open(&site.origin()).await;
    browser.type_into("x-outer >>> x-inner >>> input", "Zoë 日本").await;
    browser.press(Key::Tab).await;
    let focused = "document.activeElement.shadowRoot.activeElement.shadowRoot.activeElement.tagName";
    assert_eq!(browser.evaluate(focused).await, "BUTTON");

    browser.press(Key::ShiftTab).await;
    browser.press(Key::Escape).await;
    browser.click_button("Send").await;
    let input = Browser::element("x-outer >>> x-inner >>> input");
    assert_eq!(browser.evaluate(&format!("{input}.value")).await, "Zoë 日本");
    assert_eq!(browser.evaluate("window.trusted").await, true);
    let keys = browser.evaluate("window.keys.filter((key) => key.length > 1)").await;
    assert_eq!(keys, serde_json::json!(["Tab", "Escape"]));

    let violations = browser.axe_violations("the harness").await;
    assert!(
        violations.is_none_or(|found| found.len() == 1 && found[0].starts_with("image-alt")),
        "axe-core does not find exactly the planted violation"
    );
}

async fn preferences_of_the_visitor_reach_the_page(kind: BrowserKind) {
    const SEEN: &str = "[navigator.language.slice(0, 2), matchMedia('(prefers-color-scheme: dark)').matches, matchMedia('(prefers-reduced-motion: reduce)').matches]";
    let site = HostSite::start().await;
    site.page("/", "<!doctype html><title>Seen</title>", &[]);

    let browser = Browser::start(kind).await;
    browser.open(&site.origin()).await;
    assert_eq!(browser.evaluate(SEEN).await, serde_json::json!(["en", false, false]));
    drop(browser);

    let visitor = Preferences { language: "ar", dark: true, reduced_motion: true };
    let browser = Browser::start_with(kind, visitor).await;
    browser.open(&site.origin()).await;
    assert_eq!(browser.evaluate(SEEN).await, serde_json::json!(["ar", true, true]));
}

async fn viewport_has_the_chosen_size_down_to_320_by_256(kind: BrowserKind) {
    let site = HostSite::start().await;
    site.page("/", "<!doctype html><title>Size</title>", &[]);
    let browser = Browser::start(kind).await;
    browser.open(&site.origin()).await;

    browser.set_viewport(320, 256).await;
    browser.set_zoomed_viewport(1280, 1024, 200).await;
    browser.set_viewport(390, 844).await;

    let picture = browser.screenshot().await;
    assert_eq!(picture.get(1..4), Some(b"PNG".as_slice()));
    // Width and height follow the head of the file and of its first chunk.
    assert_eq!(picture.get(16..24), Some([0, 0, 1, 134, 0, 0, 3, 76].as_slice()));
}

async fn strict_policy_is_enforced_but_does_not_hinder_the_test(kind: BrowserKind) {
    let site = HostSite::start().await;
    let policy = ("Content-Security-Policy", "default-src 'none'; script-src 'self'");
    site.page("/", "<!doctype html><title>Strict</title><script src=late.js></script>", &[policy]);
    let late =
        "setTimeout(() => { document.body.append(Object.assign(new Image(), { src: '/x.png' })); }, 200);";
    site.file("/late.js", late.as_bytes(), &[("Content-Type", "text/javascript")]);
    let browser = Browser::start(kind).await;

    browser.open(&format!("{}/", site.localhost_origin())).await;
    let violation = site.next_violation().await;
    assert_eq!(
        violation["csp-report"]["violated-directive"].as_str().map(|name| &name[..7]),
        Some("img-src")
    );
    assert_eq!(
        browser.evaluate("Promise.resolve([document.title, location.hostname])").await[1],
        "localhost"
    );
    browser.axe_violations("a strict page").await;

    let problems = browser.console_problems().await;
    assert!(
        problems.iter().any(|problem| problem.contains("Content") && problem.contains("x.png")),
        "{problems:?}"
    );
    assert!(browser.console_problems().await.is_empty());
    assert_eq!(site.requests().iter().filter(|path| *path == "/x.png").count(), 0);
}

async fn tabs_are_opened_switched_and_found(kind: BrowserKind) {
    let site = HostSite::start().await;
    site.page("/", "<!doctype html><title>First</title><a href=third target=_blank rel=noopener>Go</a>", &[]);
    site.page("/second", "<!doctype html><title>Second</title>", &[]);
    site.page("/third", "<!doctype html><title>Third</title>", &[]);
    let browser = Browser::start(kind).await;

    browser.open(&site.origin()).await;
    browser.evaluate("localStorage.setItem('kept', 'yes')").await;
    browser.open_tab(&format!("{}/second", site.origin())).await;
    browser.wait_until("the second tab", "document.title === 'Second'").await;
    assert_eq!(browser.evaluate("localStorage.getItem('kept')").await, "yes");

    browser.switch_to_tab(0).await;
    assert_eq!(browser.evaluate("document.title").await, "First");

    browser.click_button("Go").await;
    browser.switch_to_new_tab().await;
    browser.wait_until("the third tab", "document.title === 'Third'").await;
}

async fn tab_goes_offline_and_back(kind: BrowserKind) {
    const FETCH: &str = "fetch('/').then(() => 'answered', () => 'failed')";
    let site = HostSite::start().await;
    site.page("/", "<!doctype html><title>Network</title>", &[]);
    let browser = Browser::start(kind).await;
    browser.open(&site.origin()).await;
    browser.evaluate("window.seen = [], addEventListener('offline', () => seen.push('offline')), addEventListener('online', () => seen.push('online'))").await;

    browser.set_offline(true).await;
    browser.wait_until("the event", "seen.join() === 'offline' && !navigator.onLine").await;
    assert_eq!(browser.evaluate(FETCH).await, "failed");

    browser.set_offline(false).await;
    browser.wait_until("the event", "seen.join() === 'offline,online' && navigator.onLine").await;
    assert_eq!(browser.evaluate(FETCH).await, "answered");
}

//! axe-core in the states of the chat, on the page and in the widget, light and dark, in both text
//! directions.

use crate::support::client::chat::Chat;
use crate::support::site::HostSite;
use crate::support::surface::{SURFACES, Surface, publish_widget};
use crate::support::tools::browser::scenario::in_browsers;
use crate::support::tools::browser::{Browser, BrowserKind, Key, Preferences};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

in_browsers! { all_states_are_accessible_in_light_from_left_to_right: chromium Chromium }
in_browsers! { all_states_are_accessible_in_light_from_right_to_left: chromium Chromium }
in_browsers! { all_states_are_accessible_in_dark_from_left_to_right: chromium Chromium }
in_browsers! { all_states_are_accessible_in_dark_from_right_to_left: chromium Chromium }
in_browsers! { common_states_are_accessible_in_light_from_left_to_right: firefox Firefox, webkit WebKit }
in_browsers! { common_states_are_accessible_in_dark_from_right_to_left: firefox Firefox, webkit WebKit }

/// Everything that an answer can contain.
const RICH: &str = "## Projects\n\nThe **timetable** service, *written* in `Rust`, ~~2018~~ 2019. See \
    [the report](https://example.org/report) or [write](mailto:ada@example.org).\n\n\
    | Year | Place | Trains |\n|---|:---:|---:|\n| 2019 | Lisbon | 120 |\n| 2020 | Porto | 140 |\n\n\
    1. First\n   - nested\n   - list\n2. Second\n\n- [x] done\n- [ ] open\n\n> Quoted words.\n\n---\n\n\
    ```rust\nfn main() { println!(\"a rather long line of code that does not fit into the narrow widget\"); }\n```\n";

/// A server with a site, a browser, and the violations found so far.
struct Walk {
    browser: Browser,
    chat: Chat,
    site: HostSite,
    preferences: Preferences,
    violations: Vec<String>,
}

async fn all_states_are_accessible_in_light_from_left_to_right(kind: BrowserKind) {
    walk_all(kind, Preferences::default()).await;
}

async fn all_states_are_accessible_in_light_from_right_to_left(kind: BrowserKind) {
    walk_all(kind, Preferences { language: "ar", ..Preferences::default() }).await;
}

async fn all_states_are_accessible_in_dark_from_left_to_right(kind: BrowserKind) {
    walk_all(kind, Preferences { dark: true, ..Preferences::default() }).await;
}

async fn all_states_are_accessible_in_dark_from_right_to_left(kind: BrowserKind) {
    walk_all(kind, Preferences { language: "ar", dark: true, ..Preferences::default() }).await;
}

async fn walk_all(kind: BrowserKind, preferences: Preferences) {
    let mut walk = Walk::start(kind, preferences).await;
    for surface in SURFACES {
        walk.show_answers(surface).await;
        walk.show_failures(surface).await;
        walk.show_menu(surface).await;
        walk.show_connections(surface).await;
    }
    walk.finish();
}

async fn common_states_are_accessible_in_light_from_left_to_right(kind: BrowserKind) {
    walk_common(kind, Preferences::default()).await;
}

async fn common_states_are_accessible_in_dark_from_right_to_left(kind: BrowserKind) {
    walk_common(kind, Preferences { language: "ar", dark: true, ..Preferences::default() }).await;
}

async fn walk_common(kind: BrowserKind, preferences: Preferences) {
    let mut walk = Walk::start(kind, preferences).await;
    for surface in SURFACES {
        walk.show_answers(surface).await;
    }
    walk.finish();
}

impl Walk {
    async fn start(kind: BrowserKind, preferences: Preferences) -> Self {
        let site = HostSite::start().await;
        let settings = [
            ("ALLOWED_ORIGINS", site.origin()),
            ("PRIVACY_URL", "https://example.org/privacy".to_owned()),
            ("LLM_MAX_RETRIES", "0".to_owned()),
            ("LLM_BREAKER_FAILURES", "1".to_owned()),
            ("LLM_BREAKER_PAUSE", "1ms".to_owned()),
        ];
        let chat = Chat::new(&settings.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
        let browser = Browser::start_with(kind, preferences.clone()).await;
        let direction = if preferences.language == "ar" { "lang=\"ar\" dir=\"rtl\"" } else { "lang=\"en\"" };
        publish_widget(&site, &chat.server.http_url(""), direction, &[]);
        Self { browser, chat, site, preferences, violations: Vec::new() }
    }

    /// Checks the state that is shown.
    async fn check(&mut self, surface: Surface, state: &str) {
        let violations = self.browser.axe_violations(state).await.unwrap_or_default();
        self.violations
            .extend(violations.iter().map(|violation| format!("{surface:?}, {state}: {violation}")));
    }

    fn finish(self) {
        let (kind, preferences, violations) = (self.browser.kind(), self.preferences, self.violations);
        assert!(violations.is_empty(), "{kind} {preferences:?}:\n{}", violations.join("\n"));
    }

    async fn show_answers(&mut self, surface: Surface) {
        surface.open(&self.browser, &self.chat.server.http_url(""), &self.site).await;
        surface.wait_until_visible(&self.browser, "[data-part=privacy-link]").await;
        surface.wait_until_visible(&self.browser, "[data-part=suggestions] button").await;
        let direction = if self.preferences.language == "ar" { "rtl" } else { "ltr" };
        assert_eq!(surface.of(&self.browser, ".chat", "getComputedStyle(it).direction").await, direction);
        self.check(surface, "the first view with the line about privacy").await;

        let gate = Gate::default();
        self.chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
        surface.send(&self.browser, "Count, please.").await;
        surface.wait_for_answer(&self.browser, "One").await;
        self.check(surface, "an answer that is being written").await;
        gate.open();
        surface.wait_for_status(&self.browser, "complete").await;

        self.chat.upstream.queue(Script::from_words(&[RICH]));
        surface.ask(&self.browser, "Which projects?").await;
        for element in ["table", "pre", "ol ul", "a[href]", "input[type=checkbox], .task"] {
            surface
                .wait_until_visible(&self.browser, &format!(".turn:last-child .text :is({element})"))
                .await;
        }
        self.check(surface, "an answer with Markdown").await;
    }

    async fn show_failures(&mut self, surface: Surface) {
        self.browser.click(&surface.path(".turn:last-child .thumb.down")).await;
        surface.wait_until_visible(&self.browser, ".turn:last-child .comment textarea").await;
        self.check(surface, "the field for a comment").await;

        let failure = Script::from_words(&["One "]).error_in_stream_after(1, 502, "no");
        self.chat.upstream.queue(failure);
        surface.send(&self.browser, "And then?").await;
        surface.wait_for_status(&self.browser, "failed").await;
        self.check(surface, "a failed answer").await;

        self.chat.upstream.queue(Script::rejection(500, "no"));
        surface.ask(&self.browser, "What was done at Northwind Rail?").await;
        surface.wait_until_visible(&self.browser, ".turn:last-child .notices p").await;
        surface.wait_until_visible(&self.browser, ".turn:last-child .label").await;
        self.check(surface, "a quoted answer").await;
    }

    async fn show_menu(&mut self, surface: Surface) {
        self.browser.click(&surface.path("[data-part=menu-button]")).await;
        self.browser.click(&surface.path(".menu [data-part=add]")).await;
        surface.wait_until_connected(&self.browser).await;
        surface.ask(&self.browser, "Anything else?").await;
        self.browser.click(&surface.path("[data-part=menu-button]")).await;
        surface.wait_until_visible(&self.browser, ".menu li").await;
        self.check(surface, "the menu of conversations").await;
        self.browser.click(&surface.path("[data-part=delete-all]")).await;
        surface.wait_until_visible(&self.browser, "[data-part=confirm]").await;
        self.check(surface, "the question before a deletion").await;
        self.browser.press(Key::Escape).await;
    }

    async fn show_connections(&mut self, surface: Surface) {
        surface.open_in_another_tab(&self.browser).await;
        self.browser.switch_to_tab(0).await;
        surface.wait_for(&self.browser, ".connection", "it?.dataset.state", "closed").await;
        self.check(surface, "a conversation that continues in another tab").await;
        self.browser.click(&surface.path("[data-part=reconnect]")).await;
        surface.wait_until_connected(&self.browser).await;

        self.chat.server.kill().await;
        surface.send(&self.browser, "Are you there?").await;
        surface.wait_until_visible(&self.browser, "[data-part=reconnect]").await;
        self.check(surface, "a question without connection").await;
        self.chat.server.restart_on_the_same_port().await;
    }
}

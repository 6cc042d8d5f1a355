//! The widget during network failures and crashes of the server.

use crate::support::client::chat::Chat;
use crate::support::client::tcp_proxy::TcpProxy;
use crate::support::site::HostSite;
use crate::support::surface::{SURFACES, Surface, publish_widget};
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

in_every_browser! {
    widget_keeps_the_words_after_a_crash_and_continues,
    widget_continues_at_the_next_word_after_a_network_loss,
}

// The tools for WebKit cannot disconnect it.
in_browsers! { question_asked_while_offline_is_answered_once: chromium Chromium, firefox Firefox }

/// A server behind a proxy, a site with its widget, and a browser.
struct Visit {
    browser: Browser,
    chat: Chat,
    proxy: TcpProxy,
    site: HostSite,
}

impl Visit {
    async fn start(kind: BrowserKind) -> Self {
        let site = HostSite::start().await;
        let chat = Chat::new(&[("ALLOWED_ORIGINS", &site.origin())]).await;
        let proxy = TcpProxy::start(chat.server.address()).await;
        publish_widget(&site, &format!("http://{}", proxy.address), "lang=\"en\"", &[]);
        Self { browser: Browser::start(kind).await, chat, proxy, site }
    }

    async fn open(&self, surface: Surface) {
        surface.open(&self.browser, &format!("http://{}", self.proxy.address), &self.site).await;
    }
}

async fn widget_keeps_the_words_after_a_crash_and_continues(kind: BrowserKind) {
    let mut visit = Visit::start(kind).await;
    let widget = Surface::Widget;
    visit.chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]).hang_after(2));

    visit.open(widget).await;
    widget.send(&visit.browser, "Count, please.").await;
    widget.wait_for_answer(&visit.browser, "One two").await;
    visit.chat.server.kill().await;
    visit.chat.server.restart_on_the_same_port().await;
    widget.wait_for_status(&visit.browser, "interrupted").await;
    widget.wait_until_connected(&visit.browser).await;
    assert_eq!(widget.answer(&visit.browser).await, "One two");
    widget.wait_until_visible(&visit.browser, ".turn:last-child .outcome").await;

    visit.chat.upstream.queue(Script::from_words(&["All of it."]));
    visit.browser.click(&widget.path(".turn:last-child .outcome button")).await;
    widget.wait_for_status(&visit.browser, "complete").await;
    assert_eq!(widget.answer(&visit.browser).await, "All of it.");
    assert_eq!(widget.turns(&visit.browser).await, 1);
}

async fn widget_continues_at_the_next_word_after_a_network_loss(kind: BrowserKind) {
    let visit = Visit::start(kind).await;
    let widget = Surface::Widget;
    let gate = Gate::default();
    visit.chat.upstream.queue(Script::from_words(&["One ", "two ", "three ", "four."]).hold_after(2, &gate));

    visit.open(widget).await;
    widget.send(&visit.browser, "Count, please.").await;
    widget.wait_for_answer(&visit.browser, "One two").await;
    visit.proxy.drop_connections();
    gate.open();
    widget.wait_for_status(&visit.browser, "complete").await;

    assert_eq!(widget.answer(&visit.browser).await, "One two three four.");
    assert_eq!(widget.turns(&visit.browser).await, 1);
    assert_eq!(visit.chat.upstream.requests().len(), 1);
}

async fn question_asked_while_offline_is_answered_once(kind: BrowserKind) {
    let visit = Visit::start(kind).await;

    for (number, surface) in SURFACES.into_iter().enumerate() {
        visit.open(surface).await;
        visit.browser.set_offline(true).await;
        // Browsers keep sockets that are open when they go offline.
        visit.proxy.drop_connections();
        surface.wait_for(&visit.browser, ".connection", "it?.dataset.state", "waiting").await;
        surface.send(&visit.browser, "Are you there?").await;
        surface.wait_for_status(&visit.browser, "sending").await;

        visit.chat.upstream.queue(Script::from_words(&["Here."]));
        visit.browser.set_offline(false).await;
        surface.wait_for_status(&visit.browser, "complete").await;
        assert_eq!(surface.answer(&visit.browser).await, "Here.");
        assert_eq!(visit.chat.upstream.requests().len(), number + 1);
        // Not over a fallback: that the network was away says nothing about sockets.
        let streams = "performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/sse/chat')).length";
        assert_eq!(visit.browser.evaluate(streams).await, 0, "{surface:?} uses another transport");
    }
}

//! The chat page and the widget behind proxies that refuse WebSockets or buffer responses.

use std::time::{Duration, Instant};

use crate::support::client::chat::Chat;
use crate::support::site::HostSite;
use crate::support::surface::{SURFACES, publish_widget};
use crate::support::tools::browser::scenario::in_every_browser;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::tools::nginx::{LoggedRequest, Nginx, Proxy};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

in_every_browser! {
    event_stream_replaces_refused_sockets_and_is_remembered,
    requests_replace_a_buffered_stream_and_are_remembered,
    socket_is_tried_again_after_an_hour,
    conversation_continues_after_a_crash_during_a_streamed_answer,
}

/// A visitor whose network has this proxy.
struct Visit {
    browser: Browser,
    chat: Chat,
    nginx: Nginx,
    site: HostSite,
}

impl Visit {
    /// Returns `None` without nginx.
    async fn start(kind: BrowserKind, test: &str, proxy: Proxy) -> Option<Self> {
        let site = HostSite::start().await;
        let chat = Chat::new(&[("ALLOWED_ORIGINS", &site.origin())]).await;
        let nginx = Nginx::start(test, chat.server.address(), proxy).await?;
        let browser = Browser::start(kind).await;
        let visit = Self { browser, chat, nginx, site };
        publish_widget(&visit.site, &visit.server(), "lang=\"en\"", &[]);
        Some(visit)
    }

    /// Returns the address of the server as the visitor knows it.
    fn server(&self) -> String {
        format!("http://{}", self.nginx.address)
    }

    /// Returns the requests to the API after the first `count` requests.
    fn chat_requests_after(&self, count: usize) -> Vec<LoggedRequest> {
        let is_chat = |request: &LoggedRequest| {
            request.path.starts_with("/ws/chat") || request.path.starts_with("/sse/chat")
        };
        self.nginx.requests().into_iter().skip(count).filter(is_chat).collect()
    }
}

fn count(requests: &[LoggedRequest], matches: fn(&LoggedRequest) -> bool) -> usize {
    requests.iter().filter(|request| matches(request)).count()
}

/// Whether this carries frames of an event stream up. The stream itself is logged when it ends.
fn is_upload(request: &LoggedRequest) -> bool {
    request.method == "POST" && request.path.starts_with("/sse/chat/") && request.status == 202
}

/// Whether this is a one-shot request that was answered.
fn is_one_shot(request: &LoggedRequest) -> bool {
    request.method == "POST" && request.path == "/sse/chat?close=done" && request.status == 200
}

fn is_socket(request: &LoggedRequest) -> bool {
    request.upgrade || request.path.starts_with("/ws/chat")
}

async fn event_stream_replaces_refused_sockets_and_is_remembered(kind: BrowserKind) {
    // A refused socket fails at once, so that only the fallback takes time.
    const MAX_FIRST_ANSWER: Duration = Duration::from_secs(8);
    let test = "a browser behind a proxy that refuses WebSockets";
    let Some(visit) = Visit::start(kind, test, Proxy::RefusesUpgrades).await else { return };
    let browser = &visit.browser;

    for surface in SURFACES {
        let gates = [Gate::default(), Gate::default()];
        let script = Script::from_words(&["One ", "two ", "three."]);
        visit.chat.upstream.queue(script.hold_after(1, &gates[0]).hold_after(2, &gates[1]));
        let before = visit.nginx.requests().len();

        surface.open(browser, &visit.server(), &visit.site).await;
        let asked = Instant::now();
        surface.send(browser, "Count, please.").await;
        surface.wait_for_answer(browser, "One").await;
        gates[0].open();
        surface.wait_for_answer(browser, "One two").await;
        surface.wait_for_status(browser, "streaming").await;
        gates[1].open();
        surface.wait_for_status(browser, "complete").await;
        assert!(asked.elapsed() < MAX_FIRST_ANSWER, "{surface:?}: after {:?}", asked.elapsed());
        assert_eq!(surface.answer(browser).await, "One two three.");
        let requests = visit.chat_requests_after(before);
        assert_eq!(count(&requests, is_socket), 1, "{requests:#?}");
        assert!(count(&requests, is_upload) > 0 && count(&requests, is_one_shot) == 0, "{requests:#?}");

        let before = visit.nginx.requests().len();
        surface.reload(browser).await;
        surface.wait_for_answer(browser, "One two three.").await;
        surface.ask(browser, "Once more?").await;
        let requests = visit.chat_requests_after(before);
        assert_eq!(count(&requests, is_socket), 0, "{surface:?} tried a socket again: {requests:#?}");
        assert!(count(&requests, is_upload) > 0, "{requests:#?}");
    }
}

async fn requests_replace_a_buffered_stream_and_are_remembered(kind: BrowserKind) {
    /// The client waits five seconds for the first bytes of a stream.
    const MAX_CONNECT: Duration = Duration::from_secs(15);
    let test = "a browser behind a proxy that buffers responses";
    let Some(visit) = Visit::start(kind, test, Proxy::BuffersResponses).await else { return };
    let browser = &visit.browser;

    for surface in SURFACES {
        let before = visit.nginx.requests().len();
        let opened = Instant::now();
        surface.open(browser, &visit.server(), &visit.site).await;
        assert!(opened.elapsed() < MAX_CONNECT, "{surface:?}: after {:?}", opened.elapsed());
        surface.ask(browser, "Which?").await;
        assert_eq!(surface.answer(browser).await, "The resume says, in short: Which?");
        let requests = visit.chat_requests_after(before);
        assert!(count(&requests, is_one_shot) > 0 && count(&requests, is_upload) == 0, "{requests:#?}");

        let before = visit.nginx.requests().len();
        surface.reload(browser).await;
        surface.ask(browser, "And then?").await;
        assert_eq!(surface.turns(browser).await, 2, "the conversation did not continue");
        let requests = visit.chat_requests_after(before);
        assert_eq!(
            count(&requests, is_one_shot),
            requests.len(),
            "{surface:?} tried other ways again: {requests:#?}"
        );
    }
}

async fn socket_is_tried_again_after_an_hour(kind: BrowserKind) {
    const PASS_AN_HOUR: &str = "void (Date.now = ((now) => () => now.call(Date) + 61 * 60_000)(Date.now))";
    const ASK_AT_ONCE: &str = "dispatchEvent(new Event('pointerdown')) && it.form.requestSubmit()";
    let test = "a browser whose proxy allows WebSockets later";
    let Some(visit) = Visit::start(kind, test, Proxy::MayRefuseUpgrades).await else { return };
    let browser = &visit.browser;

    for surface in SURFACES {
        visit.nginx.allow_upgrades(false);
        surface.open(browser, &visit.server(), &visit.site).await;
        surface.ask(browser, "First?").await;
        visit.nginx.allow_upgrades(true);
        let before = visit.nginx.requests().len();
        surface.ask(browser, "Second?").await;
        assert!(count(&visit.chat_requests_after(before), is_upload) > 0, "the event stream is not used");

        browser.type_into(&surface.path("#question"), "Third?").await;
        browser.evaluate(PASS_AN_HOUR).await;
        // The answer begins while the socket is opened.
        surface.of(browser, "#question", ASK_AT_ONCE).await;
        surface.wait_for(browser, ".turn:last-child .asked", "it?.innerText.trim()", "Third?").await;
        surface.wait_for_status(browser, "complete").await;
        // The socket has replaced the stream when the stream ends.
        let is_stream = |request: &LoggedRequest| request.path == "/sse/chat";
        visit.nginx.wait_until_logged(before, "the end of the event stream", is_stream).await;
        surface.wait_until_connected(browser).await;
        let with_socket = visit.nginx.requests().len();
        surface.ask(browser, "Fourth?").await;
        assert_eq!(surface.turns(browser).await, 4, "the conversation did not continue");
        let requests = visit.chat_requests_after(with_socket);
        assert!(requests.iter().all(is_socket), "{surface:?} does not use the socket: {requests:#?}");
        browser.open("about:blank").await;
        let is_open_socket = |request: &LoggedRequest| request.upgrade && request.status == 101;
        visit.nginx.wait_until_logged(with_socket, "the end of the socket", is_open_socket).await;
    }
}

async fn conversation_continues_after_a_crash_during_a_streamed_answer(kind: BrowserKind) {
    let test = "a browser behind a proxy that refuses WebSockets during a crash";
    let Some(mut visit) = Visit::start(kind, test, Proxy::RefusesUpgrades).await else { return };

    for surface in SURFACES {
        visit.chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]).hang_after(2));
        surface.open(&visit.browser, &visit.server(), &visit.site).await;
        surface.send(&visit.browser, "Count, please.").await;
        surface.wait_for_answer(&visit.browser, "One two").await;

        visit.chat.server.kill().await;
        visit.chat.server.restart_on_the_same_port().await;
        surface.wait_for_status(&visit.browser, "interrupted").await;
        surface.wait_until_connected(&visit.browser).await;
        assert_eq!(surface.answer(&visit.browser).await, "One two", "words that were read are gone");

        visit.chat.upstream.queue(Script::from_words(&["All of it."]));
        visit.browser.click(&surface.path(".turn:last-child .outcome button")).await;
        surface.wait_for_status(&visit.browser, "complete").await;
        assert_eq!(surface.answer(&visit.browser).await, "All of it.");
        assert_eq!(surface.turns(&visit.browser).await, 1);
        let requests = visit.chat_requests_after(0);
        assert_eq!(count(&requests, is_one_shot), 0, "{requests:#?}");
    }
}

//! The chat page of the demo in a real browser.

use crate::support::client::chat::{Chat, wait_until_stored};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::StoreKind;
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// The chat page in a browser.
struct Page {
    browser: Browser,
    /// Kept alive while the page uses it.
    _server: Server,
}

in_every_browser! {
    page_shows_the_name_of_the_person_without_console_errors,
    transcript_survives_a_page_reload,
    cancelled_answer_keeps_the_text_that_was_displayed,
    markup_in_a_question_is_displayed_as_text,
}

// Independent of the browser.
in_browsers!(demo_answer_is_labelled_as_quoted_from_the_resume: chromium Chromium);
in_browsers!(regenerated_answer_replaces_the_old_one: chromium Chromium);
in_browsers!(feedback_buttons_toggle_and_delete_starts_a_new_session: chromium Chromium);

/// Opens the chat page of a demo server.
async fn open_chat_page(kind: BrowserKind) -> Page {
    open_page_of(kind, Server::start(ServerConfig::demo()).await).await
}

/// Opens the chat page of a server.
async fn open_page_of(kind: BrowserKind, server: Server) -> Page {
    let browser = Browser::start(kind).await;
    browser.open(&server.http_url("/")).await;
    let page = Page { browser, _server: server };
    page.wait_until("a connection", "document.querySelector('.connection').dataset.state === 'open'").await;
    page
}

impl Page {
    async fn wait_until(&self, what: &str, expression: &str) {
        self.browser.wait_until(what, expression).await;
    }

    async fn ask(&self, question: &str) {
        self.browser.type_into("#question", &format!("{question}\n")).await;
    }

    async fn wait_for_answer(&self) {
        let complete = "document.querySelector('.turn:last-child')?.dataset.status === 'complete'";
        self.wait_until("a finished answer", complete).await;
    }

    /// Returns the visible text of the transcript, without labels for screen readers.
    async fn transcript(&self) -> String {
        let visible = "[...document.querySelectorAll('.asked, .label:not([hidden]), .text')].map((node) => node.innerText).join('\\n')";
        self.browser.evaluate(visible).await.as_str().unwrap_or_default().to_owned()
    }
}

async fn page_shows_the_name_of_the_person_without_console_errors(kind: BrowserKind) {
    let page = open_chat_page(kind).await;

    let named = "/^Ask about \\S/.test(document.querySelector('h1').textContent) && document.title === document.querySelector('h1').textContent";
    page.wait_until("the person's name in the title", named).await;
    let title = page.browser.evaluate("document.title").await;

    assert_ne!(title, "Ask about this resume", "the title contains no name");

    let console = page.browser.console_problems().await;
    assert!(console.is_empty(), "console messages: {console:#?}");
}

async fn demo_answer_is_labelled_as_quoted_from_the_resume(kind: BrowserKind) {
    let page = open_chat_page(kind).await;

    page.ask("What is the work experience?").await;
    page.wait_for_answer().await;

    let transcript = page.transcript().await;
    assert!(
        transcript.starts_with("What is the work experience?"),
        "the question is not first: {transcript}"
    );
    assert!(transcript.contains("Quoted from the resume"), "no label: {transcript}");

    let answered = "document.querySelector('.turn .text').innerText.trim().length > 0";
    page.wait_until("the words of the answer", answered).await;
}

async fn transcript_survives_a_page_reload(kind: BrowserKind) {
    let page = open_chat_page(kind).await;

    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    let before = page.transcript().await;

    page.browser.refresh().await;
    page.wait_for_answer().await;

    assert_eq!(page.transcript().await, before);
}

async fn regenerated_answer_replaces_the_old_one(kind: BrowserKind) {
    let page = open_chat_page(kind).await;

    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    let before = page.transcript().await;
    page.browser.evaluate("window.first = document.querySelector('.turn')").await;

    let regenerate = "[...document.querySelectorAll('.actions button')].find((button) => button.textContent === 'Answer again')";
    page.browser.evaluate(&format!("{regenerate}.click()")).await;
    page.wait_until("another turn", "document.querySelector('.turn') !== window.first").await;
    page.wait_for_answer().await;

    assert_eq!(page.transcript().await, before, "the new answer did not replace the old one");

    page.browser.refresh().await;
    page.wait_for_answer().await;
    assert_eq!(page.transcript().await, before, "the replaced answer is shown after a reload");

    let console = page.browser.console_problems().await;
    assert!(console.is_empty(), "console messages: {console:#?}");
}

async fn feedback_buttons_toggle_and_delete_starts_a_new_session(kind: BrowserKind) {
    const PRESSED: &str =
        "[...document.querySelectorAll('.thumb')].map((thumb) => thumb.getAttribute('aria-pressed')).join()";
    let store = StoreKind::Sqlite.create().await;
    let Chat { server, upstream: _upstream, .. } = Chat::with_store(&store, &[]).await;
    let page = open_page_of(kind, server).await;

    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    for (click, state, rating, stored) in [
        (1, "false,true", "down", 1),
        (0, "true,false", "up", 1),
        (0, "false,false", "up", 0),
        (1, "false,true", "down", 1),
    ] {
        page.browser.evaluate(&format!("document.querySelectorAll('.thumb')[{click}].click()")).await;
        assert_eq!(page.browser.evaluate(PRESSED).await, state);
        let ratings = format!("SELECT count(*) FROM feedback WHERE rating = '{rating}'");
        wait_until_stored(&store, &ratings, stored).await;
    }

    page.browser.refresh().await;
    page.wait_until("the feedback after a reload", &format!("{PRESSED} === 'false,true'")).await;
    let stored_session = "Object.values(localStorage).join()";
    let session = page.browser.evaluate(stored_session).await;
    for part in ["menu-button", "forget", "confirm"] {
        // The menu is loaded when it is opened.
        page.wait_until(part, &format!("document.querySelector('[data-part={part}]') !== null")).await;
        page.browser.evaluate(&format!("document.querySelector('[data-part={part}]').click()")).await;
    }
    page.wait_until("an empty page", "!document.querySelector('.welcome').hidden").await;
    page.wait_until("a connection", "document.querySelector('.connection').dataset.state === 'open'").await;

    assert_eq!(page.transcript().await, "");
    assert_ne!(page.browser.evaluate(stored_session).await, session, "the session is still the old one");

    let errors = page
        .browser
        .evaluate("document.querySelectorAll('.line, [data-part=alert]:not([hidden])').length")
        .await;
    assert_eq!(errors, 0, "the page shows an error");
}

async fn cancelled_answer_keeps_the_text_that_was_displayed(kind: BrowserKind) {
    let chat = Chat::new(&[]).await;
    let gate = Gate::default();

    let long_answer = (0..2000)
        .fold(Script::from_words(&["One ", "two "]), |script, word| script.words(&[&format!("late{word} ")]));
    chat.upstream.queue(long_answer.hold_after(2, &gate).hang_after(2002));
    let browser = Browser::start(kind).await;
    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Count, please.\n").await;
    let text = "document.querySelector('.turn:last-child .text')?.innerText.trim()";
    browser.wait_until("two words", &format!("{text} === 'One two'")).await;
    // Cancel while more deltas are in flight. Deltas that are not displayed yet are not kept.
    gate.open();
    browser.evaluate("document.querySelector('[data-part=send]').click()").await;
    browser
        .wait_until("the end", "document.querySelector('.turn:last-child').dataset.status === 'cancelled'")
        .await;
    let shown = browser.evaluate(text).await;
    chat.upstream.wait_for_abort().await;
    browser.refresh().await;
    browser
        .wait_until(
            "the transcript",
            "document.querySelector('.turn:last-child')?.dataset.status === 'cancelled'",
        )
        .await;

    assert_eq!(browser.evaluate(text).await, shown);
}

async fn markup_in_a_question_is_displayed_as_text(kind: BrowserKind) {
    let page = open_chat_page(kind).await;
    let markup = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script><b>skills</b>";

    page.ask(markup).await;
    page.wait_for_answer().await;
    page.browser.refresh().await;
    page.wait_for_answer().await;

    let transcript = page.transcript().await;
    assert!(transcript.contains(markup), "the question is not shown literally: {transcript}");

    let nodes = page.browser.evaluate("document.querySelectorAll('.turns :is(img, script, b)').length").await;
    assert_eq!(nodes, 0, "markup became DOM nodes");

    let title = page.browser.evaluate("document.title").await;
    assert_ne!(title, "taken over");
}

//! The chat page in a real browser: what a visitor sees when the demo runs.

use crate::support::client::chat::Chat;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::webdriver::{Browser, chromedriver};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

/// The chat page, open in a browser.
struct Page {
    browser: Browser,
    /// Lives as long as the page that talks to it.
    _server: Server,
}

/// Opens the chat page of a demo server; `None` where there is no browser, which only a developer's machine may lack.
async fn open_chat_page() -> Option<Page> {
    let chromedriver = chromedriver()?;
    let server = Server::start(ServerConfig::demo()).await;
    let browser = Browser::start(&chromedriver).await;
    browser.open(&server.http_url("/")).await;
    let page = Page { browser, _server: server };
    page.wait_until("a connection", "document.querySelector('.connection').dataset.state === 'open'").await;
    Some(page)
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

    /// The text that a person can see in the transcript; words for screen readers alone are left out.
    async fn transcript(&self) -> String {
        let seen = "[...document.querySelectorAll('.asked, .label:not([hidden]), .text')].map((node) => node.innerText).join('\\n')";
        self.browser.evaluate(seen).await.as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn the_page_shows_the_persons_name_and_the_console_stays_silent() {
    let Some(page) = open_chat_page().await else { return };

    let named = "/^Ask about \\S/.test(document.querySelector('h1').textContent) && document.title === document.querySelector('h1').textContent";
    page.wait_until("the person's name in the title", named).await;
    let title = page.browser.evaluate("document.title").await;
    assert_ne!(title, "Ask about this resume", "the title names nobody");

    let console = page.browser.console().await;
    assert!(console.is_empty(), "the console was told: {console:#?}");
}

#[tokio::test]
async fn an_answer_of_the_demo_is_labelled_as_quoted_from_the_resume() {
    let Some(page) = open_chat_page().await else { return };

    page.ask("What is the work experience?").await;
    page.wait_for_answer().await;

    let transcript = page.transcript().await;
    assert!(transcript.starts_with("What is the work experience?"), "the question comes first: {transcript}");
    assert!(transcript.contains("Quoted from the resume"), "no label: {transcript}");
    let answered = "document.querySelector('.turn .text').innerText.trim().length > 0";
    page.wait_until("the words of the answer", answered).await;
}

#[tokio::test]
async fn the_transcript_is_still_there_after_a_refresh() {
    let Some(page) = open_chat_page().await else { return };
    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    let before = page.transcript().await;

    page.browser.refresh().await;
    page.wait_for_answer().await;

    assert_eq!(page.transcript().await, before);
}

#[tokio::test]
async fn an_answer_is_given_anew_in_its_place() {
    let Some(page) = open_chat_page().await else { return };
    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    let before = page.transcript().await;
    page.browser.evaluate("window.first = document.querySelector('.turn')").await;

    let again =
        "[...document.querySelectorAll('.actions button')].find((it) => it.textContent === 'Answer again')";
    page.browser.evaluate(&format!("{again}.click()")).await;
    page.wait_until("another turn", "document.querySelector('.turn') !== window.first").await;
    page.wait_for_answer().await;

    assert_eq!(page.transcript().await, before, "one answer, in the place of the other");
    page.browser.refresh().await;
    page.wait_for_answer().await;
    assert_eq!(page.transcript().await, before, "what was replaced is not shown any more");
    let console = page.browser.console().await;
    assert!(console.is_empty(), "the console was told: {console:#?}");
}

#[tokio::test]
async fn an_answer_is_found_helpful_or_not_and_a_conversation_deleted() {
    let Some(page) = open_chat_page().await else { return };
    page.ask("Which skills are listed?").await;
    page.wait_for_answer().await;
    let pressed =
        "[...document.querySelectorAll('.thumb')].map((it) => it.getAttribute('aria-pressed')).join()";
    for (click, state) in [(1, "false,true"), (0, "true,false"), (0, "false,false")] {
        page.browser.evaluate(&format!("document.querySelectorAll('.thumb')[{click}].click()")).await;
        assert_eq!(page.browser.evaluate(pressed).await, state);
    }
    page.browser.evaluate("document.querySelectorAll('.thumb')[1].click()").await;
    let shown_again = async {
        // The page does not say when it is stored.
        while page.browser.evaluate(pressed).await != "false,true" {
            page.browser.refresh().await;
            page.wait_for_answer().await;
        }
    };
    page.browser.refresh().await;
    page.wait_for_answer().await;
    within("the opinion to be shown after a reload", shown_again).await;
    let kept = "Object.values(localStorage).join()";
    let session = page.browser.evaluate(kept).await;
    page.browser.evaluate("window.confirm = () => true").await;
    page.browser.evaluate("document.querySelector('[data-part=forget]').click()").await;
    page.wait_until("an empty page", "!document.querySelector('.welcome').hidden").await;
    page.wait_until("a connection", "document.querySelector('.connection').dataset.state === 'open'").await;
    assert_eq!(page.transcript().await, "");
    assert_ne!(page.browser.evaluate(kept).await, session, "it is another conversation");
    let lines = page.browser.evaluate("document.querySelectorAll('.line').length").await;
    assert_eq!(lines, 0, "nothing was refused");
}

#[tokio::test]
async fn a_stopped_answer_stays_as_it_was_on_the_screen() {
    let Some(chromedriver) = chromedriver() else { return };
    let chat = Chat::with(&[]).await;
    let gate = Gate::default();
    let many = (0..2000)
        .fold(Script::of(&["One ", "two "]), |script, word| script.words(&[&format!("late{word} ")]));
    chat.upstream.queue(many.hold_after(2, &gate).hang_after(2002));
    let browser = Browser::start(&chromedriver).await;
    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Count, please.\n").await;
    let text = "document.querySelector('.turn:last-child .text')?.innerText.trim()";
    browser.wait_until("two words", &format!("{text} === 'One two'")).await;
    // Pressed while more is on its way: what is not shown yet is not part of it.
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

#[tokio::test]
async fn markup_in_a_question_is_shown_as_text() {
    let Some(page) = open_chat_page().await else { return };
    let markup = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script><b>skills</b>";

    page.ask(markup).await;
    page.wait_for_answer().await;
    page.browser.refresh().await;
    page.wait_for_answer().await;

    let transcript = page.transcript().await;
    assert!(transcript.contains(markup), "the question is shown as it was written: {transcript}");
    let nodes = page.browser.evaluate("document.querySelectorAll('.turns :is(img, script, b)').length").await;
    assert_eq!(nodes, 0, "markup became nodes");
    let title = page.browser.evaluate("document.title").await;
    assert_ne!(title, "taken over");
}

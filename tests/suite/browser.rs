//! The chat page in a real browser: what a visitor sees when the demo runs.

use std::io::Write;

use crate::support::browser::Browser;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

/// The chat page, open in a browser.
struct Page {
    browser: Browser,
    /// Lives as long as the page that talks to it.
    _server: Server,
}

/// Opens the chat page of a demo server; `None` where there is no browser, which only a developer's machine may lack.
async fn open_chat_page() -> Option<Page> {
    let Some(chromedriver) = std::env::var_os("TEST_CHROMEDRIVER") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "TEST_CHROMEDRIVER must name a chromedriver where CI is set"
        );
        let missing = "the chat page was NOT covered in a browser: TEST_CHROMEDRIVER is unset; `tests/run` installs one";
        // Written past the harness's capture, which would hide it from a run that passes.
        let _ = writeln!(std::io::stderr(), "{missing}");
        return None;
    };
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

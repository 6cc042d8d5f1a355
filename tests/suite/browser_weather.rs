//! The chat page in a real browser when the network, the server or another window comes in between.

use crate::support::browser::{Browser, chromedriver};
use crate::support::cable::Cable;
use crate::support::chat::{Chat, until_stored};
use crate::support::faults::until_metric;
use crate::support::gate::Gate;
use crate::support::script::Script;
use crate::support::stores::Store;

const TEXT: &str = "document.querySelector('.turn:last-child .text')?.innerText.trim()";
const STATUS: &str = "document.querySelector('.turn:last-child')?.dataset.status";
const STATE: &str = "document.querySelector('.connection').dataset.state";

async fn until(browser: &Browser, expression: &str, value: &str) {
    let what = format!("{expression} to be {value:?}");
    browser.wait_until(&what, &format!("{expression} === '{value}'")).await;
}

async fn click(browser: &Browser, button: &str) {
    let found =
        format!("[...document.querySelectorAll('button')].find((it) => it.textContent === '{button}')");
    browser.evaluate(&format!("{found}.click()")).await;
}

#[tokio::test]
async fn an_answer_goes_on_at_the_next_word_after_the_network_was_gone() {
    let Some(chromedriver) = chromedriver() else { return };
    let chat = Chat::with(&[]).await;
    let cable = Cable::to(chat.server.address()).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One ", "two ", "three ", "four."]).hold_after(2, &gate));
    let browser = Browser::start(&chromedriver).await;
    browser.open(&format!("http://{}/", cable.address)).await;
    browser.type_into("#question", "Count, please.\n").await;
    until(&browser, TEXT, "One two").await;
    cable.pull();
    gate.open();
    until(&browser, STATUS, "complete").await;
    assert_eq!(browser.evaluate(TEXT).await, "One two three four.");
    assert_eq!(browser.evaluate("document.querySelectorAll('.turn').length").await, 1);
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_cut_off_by_a_kill_is_shown_as_far_as_it_was_stored_and_can_be_given_again() {
    let Some(chromedriver) = chromedriver() else { return };
    let store = Store::Sqlite.fresh().await;
    let mut chat = Chat::on(&store, &[]).await;
    chat.upstream.queue(Script::of(&["One ", "two ", "three."]).hang_after(2));
    let browser = Browser::start(&chromedriver).await;
    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Count, please.\n").await;
    until(&browser, TEXT, "One two").await;
    until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'One two '", 1).await;
    chat.server.kill().await;
    chat.server.restart_on_the_same_port().await;
    until(&browser, STATUS, "interrupted").await;
    assert_eq!(browser.evaluate(TEXT).await, "One two");
    chat.upstream.queue(Script::of(&["All of it."]));
    click(&browser, "Answer again").await;
    until(&browser, STATUS, "complete").await;
    assert_eq!(browser.evaluate(TEXT).await, "All of it.");
    assert_eq!(browser.evaluate("document.querySelectorAll('.turn').length").await, 1);
}

#[tokio::test]
async fn a_question_asked_while_the_server_is_gone_is_sent_once_when_it_is_back() {
    let Some(chromedriver) = chromedriver() else { return };
    let mut chat = Chat::with(&[]).await;
    chat.upstream.queue(Script::of(&["Here."]));
    let browser = Browser::start(&chromedriver).await;
    browser.open(&chat.server.http_url("/")).await;
    until(&browser, STATE, "open").await;
    chat.server.kill().await;
    until(&browser, STATE, "waiting").await;
    browser.type_into("#question", "Are you there?\n").await;
    until(&browser, STATUS, "sending").await;
    chat.server.restart_on_the_same_port().await;
    until(&browser, STATUS, "complete").await;
    assert_eq!(browser.evaluate(TEXT).await, "Here.");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_conversation_opened_in_another_window_is_left_in_the_first_until_it_is_wanted_back() {
    let Some(chromedriver) = chromedriver() else { return };
    let chat = Chat::with(&[]).await;
    chat.upstream.queue(Script::of(&["First."]));
    let browser = Browser::start(&chromedriver).await;
    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Which?\n").await;
    until(&browser, STATUS, "complete").await;
    browser.evaluate("Boolean(window.other = window.open(location.href))").await;
    until(&browser, STATE, "closed").await;
    let told = "document.querySelector('.connection').innerText.includes('Opened in another window.')";
    assert_eq!(browser.evaluate(told).await, true);
    until(
        &browser,
        "window.other.document.querySelector('.turn:last-child .text')?.innerText.trim()",
        "First.",
    )
    .await;
    click(&browser, "Continue here").await;
    until(&browser, STATE, "open").await;
    assert_eq!(browser.evaluate(TEXT).await, "First.");
    until(&browser, "window.other.document.querySelector('.connection').dataset.state", "closed").await;
}

#[tokio::test]
async fn an_opinion_that_is_not_kept_is_not_shown_as_if_it_were_and_one_that_was_lost_on_the_way_is_said_again()
 {
    const PRESSED: &str = "document.querySelector('.thumb').getAttribute('aria-pressed')";
    const PRESS: &str = "document.querySelector('.thumb').click()";
    const STORED: &str = "SELECT count(*) FROM feedback WHERE rating = 'up'";
    let Some(chromedriver) = chromedriver() else { return };
    let store = Store::Sqlite.fresh().await;
    let chat = Chat::on(&store, &[]).await;
    let cable = Cable::to(chat.server.address()).await;
    let browser = Browser::start(&chromedriver).await;
    browser.open(&format!("http://{}/", cable.address)).await;
    browser.type_into("#question", "Helpful?\n").await;
    until(&browser, STATUS, "complete").await;

    let outage = store.go_away().await;
    browser.evaluate(PRESS).await;
    assert_eq!(browser.evaluate(PRESSED).await, "true");
    until(&browser, PRESSED, "false").await;
    outage.end().await;
    until_metric(&chat.server, "store_write_queue_depth", 0.0).await;
    until_metric(&chat.server, "store_unavailable", 0.0).await;
    assert_eq!(store.number(STORED).await, 0, "what was refused is not kept afterwards");

    cable.get_stuck();
    browser.evaluate(PRESS).await;
    cable.pull();
    until(&browser, STATE, "open").await;
    until_stored(&store, STORED, 1).await;
    assert_eq!(browser.evaluate(PRESSED).await, "true");
}

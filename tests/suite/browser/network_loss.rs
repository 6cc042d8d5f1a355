//! The chat page in a real browser during network failures, server restarts and takeovers by
//! another window.

use crate::support::client::chat::{Chat, wait_until_stored};
use crate::support::client::tcp_proxy::TcpProxy;
use crate::support::server::failpoints::wait_for_metric;
use crate::support::stores::fresh_store::StoreKind;
use crate::support::tools::browser::scenario::in_every_browser;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const ANSWER_TEXT: &str = "document.querySelector('.turn:last-child .text')?.innerText.trim()";
const TURN_STATUS: &str = "document.querySelector('.turn:last-child')?.dataset.status";
const CONNECTION_STATE: &str = "document.querySelector('.connection').dataset.state";

async fn wait_for_value(browser: &Browser, expression: &str, value: &str) {
    let what = format!("{expression} to be {value:?}");
    browser.wait_until(&what, &format!("{expression} === '{value}'")).await;
}

in_every_browser! {
    answer_continues_at_the_next_word_after_a_network_loss,
    interrupted_answer_shows_its_stored_part_and_can_be_regenerated,
    question_asked_while_offline_is_sent_once_after_reconnecting,
    session_opened_in_another_window_can_be_taken_back,
    feedback_reverts_when_rejected_and_is_resent_after_a_lost_connection,
}

async fn answer_continues_at_the_next_word_after_a_network_loss(kind: BrowserKind) {
    let chat = Chat::new(&[]).await;
    let proxy = TcpProxy::start(chat.server.address()).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One ", "two ", "three ", "four."]).hold_after(2, &gate));
    let browser = Browser::start(kind).await;

    browser.open(&format!("http://{}/", proxy.address)).await;
    browser.type_into("#question", "Count, please.\n").await;
    wait_for_value(&browser, ANSWER_TEXT, "One two").await;
    proxy.drop_connections();
    gate.open();
    wait_for_value(&browser, TURN_STATUS, "complete").await;

    assert_eq!(browser.evaluate(ANSWER_TEXT).await, "One two three four.");
    assert_eq!(browser.evaluate("document.querySelectorAll('.turn').length").await, 1);
    assert_eq!(chat.upstream.requests().len(), 1);
}

async fn interrupted_answer_shows_its_stored_part_and_can_be_regenerated(kind: BrowserKind) {
    let store = StoreKind::Sqlite.create().await;
    let mut chat = Chat::with_store(&store, &[]).await;
    chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]).hang_after(2));
    let browser = Browser::start(kind).await;

    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Count, please.\n").await;
    wait_for_value(&browser, ANSWER_TEXT, "One two").await;
    wait_until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'One two '", 1).await;
    chat.server.kill().await;
    chat.server.restart_on_the_same_port().await;
    wait_for_value(&browser, TURN_STATUS, "interrupted").await;

    assert_eq!(browser.evaluate(ANSWER_TEXT).await, "One two");

    chat.upstream.queue(Script::from_words(&["All of it."]));
    browser.click_button("Ask again").await;
    wait_for_value(&browser, TURN_STATUS, "complete").await;

    assert_eq!(browser.evaluate(ANSWER_TEXT).await, "All of it.");
    assert_eq!(browser.evaluate("document.querySelectorAll('.turn').length").await, 1);
}

async fn question_asked_while_offline_is_sent_once_after_reconnecting(kind: BrowserKind) {
    let mut chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::from_words(&["Here."]));
    let browser = Browser::start(kind).await;

    browser.open(&chat.server.http_url("/")).await;
    wait_for_value(&browser, CONNECTION_STATE, "open").await;
    chat.server.kill().await;
    wait_for_value(&browser, CONNECTION_STATE, "waiting").await;
    browser.type_into("#question", "Are you there?\n").await;
    wait_for_value(&browser, TURN_STATUS, "sending").await;
    chat.server.restart_on_the_same_port().await;
    wait_for_value(&browser, TURN_STATUS, "complete").await;

    assert_eq!(browser.evaluate(ANSWER_TEXT).await, "Here.");
    assert_eq!(chat.upstream.requests().len(), 1);
}

async fn session_opened_in_another_window_can_be_taken_back(kind: BrowserKind) {
    let chat = Chat::new(&[]).await;
    chat.upstream.queue(Script::from_words(&["First."]));
    let browser = Browser::start(kind).await;

    browser.open(&chat.server.http_url("/")).await;
    browser.type_into("#question", "Which?\n").await;
    wait_for_value(&browser, TURN_STATUS, "complete").await;
    browser.evaluate("Boolean(window.other = window.open(location.href))").await;
    wait_for_value(&browser, CONNECTION_STATE, "closed").await;
    let message = "document.querySelector('.connection').innerText.includes('Opened in another window.')";

    browser.wait_until("the reason of the close", message).await;

    wait_for_value(
        &browser,
        "window.other.document.querySelector('.turn:last-child .text')?.innerText.trim()",
        "First.",
    )
    .await;
    browser.click_button("Continue here").await;
    wait_for_value(&browser, CONNECTION_STATE, "open").await;

    assert_eq!(browser.evaluate(ANSWER_TEXT).await, "First.");

    wait_for_value(&browser, "window.other.document.querySelector('.connection').dataset.state", "closed")
        .await;
}

async fn feedback_reverts_when_rejected_and_is_resent_after_a_lost_connection(kind: BrowserKind) {
    const PRESSED: &str = "document.querySelector('.thumb').getAttribute('aria-pressed')";
    const PRESS: &str = "document.querySelector('.thumb').click()";
    const STORED: &str = "SELECT count(*) FROM feedback WHERE rating = 'up'";
    let store = StoreKind::Sqlite.create().await;
    let chat = Chat::with_store(&store, &[]).await;
    let proxy = TcpProxy::start(chat.server.address()).await;
    let browser = Browser::start(kind).await;

    browser.open(&format!("http://{}/", proxy.address)).await;
    browser.type_into("#question", "Helpful?\n").await;
    wait_for_value(&browser, TURN_STATUS, "complete").await;

    let outage = store.take_offline().await;
    browser.evaluate(PRESS).await;
    assert_eq!(browser.evaluate(PRESSED).await, "true");

    wait_for_value(&browser, PRESSED, "false").await;
    outage.end().await;
    wait_for_metric(&chat.server, "store_write_queue_depth", 0.0).await;
    wait_for_metric(&chat.server, "store_unavailable", 0.0).await;

    assert_eq!(store.query_number(STORED).await, 0, "rejected feedback was stored later");

    proxy.stall();
    browser.evaluate(PRESS).await;
    proxy.drop_connections();
    wait_for_value(&browser, CONNECTION_STATE, "open").await;
    wait_until_stored(&store, STORED, 1).await;

    assert_eq!(browser.evaluate(PRESSED).await, "true");
}

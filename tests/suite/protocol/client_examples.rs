//! Runs every example of `docs/websocket_examples.md` against a real server.

use crate::support::client::chat::Chat;
use crate::support::client::tcp_proxy::TcpProxy;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::site::HostSite;
use crate::support::tools::browser::scenario::in_every_browser;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::tools::document_examples::{
    RunningExample, example_code, example_names, other_fences, start_example,
};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::{OPENING, Script};

const QUESTION: &str = "Which languages does Mara speak?";

#[test]
fn every_code_block_is_run_by_a_test() {
    let tested = [
        "by_hand_python.sh",
        "by_hand_node.sh",
        "least.html",
        "least.mjs",
        "least.py",
        "full.mjs",
        "full.py",
        "full.html",
    ];
    assert_eq!(example_names(), tested);
    // Console blocks show how to start the programs above; the tests start them themselves.
    assert!(other_fences().iter().all(|fence| fence == "```console"), "{:?}", other_fences());
}

#[tokio::test]
async fn command_line_examples_print_an_answer() {
    let server = Server::start(ServerConfig::demo()).await;
    for name in ["by_hand_python.sh", "by_hand_node.sh"] {
        let Some(mut shell) = start_example(name, server.address(), &[]) else { return };
        shell.wait_for_output(r#""type":"accepted""#).await;
        shell.wait_for_output(r#""status":"complete""#).await;
        shell.wait_for_exit().await;
    }
}

#[tokio::test]
async fn minimal_clients_print_the_answer_and_exit() {
    let chat = Chat::new(&[]).await;
    for name in ["least.mjs", "least.py"] {
        let Some(mut client) = start_example(name, chat.server.address(), &[QUESTION]) else { return };
        assert!(client.wait_for_exit().await, "{name}: {:?}", client.stderr.all());
        client.wait_for_output(&format!("{OPENING} {QUESTION}")).await;
    }
}

/// Starts a full client behind the proxy, with an answer that waits at the returned gate.
async fn start_in_mid_answer(name: &str, chat: &Chat, proxy: &TcpProxy) -> Option<(RunningExample, Gate)> {
    let gate = Gate::default();
    let script = Script::from_words(&["Swedish, ", "English ", "and German."]).hold_after(1, &gate);
    chat.upstream.queue(script);
    let mut client = start_example(name, proxy.address, &[QUESTION])?;
    client.wait_for_output("Swedish, ").await;
    Some((client, gate))
}

#[tokio::test]
async fn full_clients_continue_at_the_next_word_after_a_lost_connection() {
    let chat = Chat::new(&[]).await;
    let proxy = TcpProxy::start(chat.server.address()).await;

    for name in ["full.mjs", "full.py"] {
        let Some((mut client, gate)) = start_in_mid_answer(name, &chat, &proxy).await else { return };
        proxy.drop_connections();
        gate.open();
        let printed = client.wait_for_output("German.").await;
        assert_eq!(printed, "Swedish, English and German.", "{name}");
        assert!(client.wait_for_exit().await, "{name}: {:?}", client.stderr.all());
    }
}

#[tokio::test]
async fn full_clients_print_the_whole_answer_although_the_server_is_killed() {
    let mut chat = Chat::new(&[]).await;
    for name in ["full.mjs", "full.py"] {
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["Swedish, ", "never received"]).hold_after(1, &gate));
        chat.upstream.queue(Script::from_words(&["English ", "and German."]));
        let Some(mut client) = start_example(name, chat.server.address(), &[QUESTION]) else { return };
        client.wait_for_output("Swedish, ").await;
        chat.server.kill().await;
        chat.server.restart_on_the_same_port().await;
        // The words are lost, and the answer is interrupted. The client requests another one.
        client.wait_for_output("[from the start]").await;
        let printed = client.wait_for_output("and German.").await;
        assert!(printed.ends_with("English and German."), "{name}: {printed}");
        assert!(client.wait_for_exit().await, "{name}: {:?}", client.stderr.all());
        client.stderr.find("the status of the answer", |line| line.contains("complete")).await;
    }
}

#[tokio::test]
async fn full_clients_end_with_a_time_when_the_budget_of_the_day_is_spent() {
    let mut chat = Chat::new(&[
        ("MAX_CONTEXT_TOKENS", "2000"),
        ("MAX_RESPONSE_TOKENS", "1200"),
        ("DAILY_TOKEN_LIMIT", "2000"),
        ("DEGRADED_MODE", "off"),
    ])
    .await;
    chat.upstream.queue(Script::from_words(&["All of it."]).usage(1900, 50, None));
    assert_eq!(chat.visitor.ask_and_wait(QUESTION).await.status(), "complete");
    for name in ["full.mjs", "full.py"] {
        let Some(mut client) = start_example(name, chat.server.address(), &[QUESTION]) else { return };
        assert!(!client.wait_for_exit().await, "{name} succeeded without a budget");
        let names_the_time =
            |line: &String| line.contains("BUDGET_EXCEEDED") && line.contains("retry after 20");
        client.stderr.find("the time of a retry", names_the_time).await;
    }
}

#[tokio::test]
async fn full_clients_retry_only_retryable_errors() {
    let chat = Chat::new(&[]).await;
    for name in ["full.mjs", "full.py"] {
        let Some(mut client) = start_example(name, chat.server.address(), &[&"x".repeat(2001)]) else {
            return;
        };
        assert!(!client.wait_for_exit().await, "{name} succeeded with a question that is too long");
        let is_reason = |line: &String| line.contains("MESSAGE_TOO_LONG");
        client.stderr.find("the reason for giving up", is_reason).await;

        let broken = Script::from_words(&["Swedish, "]).error_in_stream(502, "gone");
        chat.upstream.queue(broken).queue(Script::from_words(&["English"]));
        let Some(mut client) = start_example(name, chat.server.address(), &[QUESTION]) else { return };

        client.wait_for_output("English").await;
        assert!(client.wait_for_exit().await, "{name}: {:?}", client.stderr.all());
    }
}

in_every_browser!(example_pages_chat_from_another_site_and_survive_a_reload);

async fn example_pages_chat_from_another_site_and_survive_a_reload(kind: BrowserKind) {
    let (least, full) = (HostSite::start().await, HostSite::start().await);
    let origins = format!("{},{}", least.origin(), full.origin());
    let chat = Chat::new(&[("ALLOWED_ORIGINS", origins.as_str())]).await;
    let proxy = TcpProxy::start(chat.server.address()).await;

    least.page("/", &example_code("least.html", chat.server.address()), &[]);
    full.page("/", &example_code("full.html", proxy.address), &[]);
    let browser = Browser::start(kind).await;

    browser.open(&least.origin()).await;
    let whole = format!("document.getElementById('answer').textContent === '{OPENING} {QUESTION}'");
    browser.wait_until("the whole answer", &whole).await;

    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Swedish, ", "English ", "and German."]).hold_after(1, &gate));

    browser.open(&full.origin()).await;
    let state = |text: &str| format!("document.forms[0].elements.state.value === '{text}'");
    browser.wait_until("a session", &state("ready")).await;
    browser.type_into("input", &format!("{QUESTION}\n")).await;
    let chat_is = |text: &str| format!("document.getElementById('chat').textContent.trim() === '{text}'");
    browser.wait_until("the first word", &chat_is(&format!("> {QUESTION}\\nSwedish,"))).await;
    proxy.drop_connections();
    gate.open();
    browser.wait_until("the end of the answer", &state("complete")).await;
    let transcript = chat_is(&format!("> {QUESTION}\\nSwedish, English and German."));
    browser.wait_until("every word once", &transcript).await;
    browser.refresh().await;
    browser.wait_until("the same after a refresh", &transcript).await;
}

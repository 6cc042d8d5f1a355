//! Every example of `docs/websocket_examples.md`, taken out of the document and run against a real server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::client::chat::Chat;
use crate::support::client::tcp_proxy::Cable;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::document_examples::{Running, code, names, others, start};
use crate::support::tools::external_tools::named_by;
use crate::support::tools::webdriver::Browser;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::{OPENING, Script};

const QUESTION: &str = "Which languages does Mara speak?";

#[test]
fn every_block_of_code_is_run_by_a_test() {
    let run = [
        "by_hand_python.sh",
        "by_hand_node.sh",
        "least.html",
        "least.mjs",
        "least.py",
        "full.mjs",
        "full.py",
        "full.html",
    ];
    assert_eq!(names(), run);
    // The command lines of the programs above, which the tests write themselves.
    assert!(others().iter().all(|fence| fence == "```console"), "{:?}", others());
}

#[tokio::test]
async fn the_command_lines_by_hand_show_an_answer() {
    let server = Server::start(ServerConfig::demo()).await;
    for name in ["by_hand_python.sh", "by_hand_node.sh"] {
        let Some(mut shell) = start(name, server.address(), &[]) else { return };
        shell.prints(r#""type":"accepted""#).await;
        shell.prints(r#""status":"complete""#).await;
        shell.ends().await;
    }
}

#[tokio::test]
async fn the_least_clients_print_the_answer_and_end() {
    let chat = Chat::with(&[]).await;
    for name in ["least.mjs", "least.py"] {
        let Some(mut client) = start(name, chat.server.address(), &[QUESTION]) else { return };
        assert!(client.ends().await, "{name}: {:?}", client.stderr.all());
        client.prints(&format!("{OPENING} {QUESTION}")).await;
    }
}

/// A full client on a cable, in the middle of an answer that has stopped at the gate.
async fn in_the_middle(name: &str, chat: &Chat, cable: &Cable) -> Option<(Running, Gate)> {
    let gate = Gate::default();
    let script = Script::of(&["Swedish, ", "English ", "and German."]).hold_after(1, &gate);
    chat.upstream.queue(script);
    let mut client = start(name, cable.address, &[QUESTION])?;
    client.prints("Swedish, ").await;
    Some((client, gate))
}

#[tokio::test]
async fn the_full_clients_go_on_with_the_next_word_after_a_lost_connection() {
    let chat = Chat::with(&[]).await;
    let cable = Cable::to(chat.server.address()).await;
    for name in ["full.mjs", "full.py"] {
        let Some((mut client, gate)) = in_the_middle(name, &chat, &cable).await else { return };
        cable.pull();
        gate.open();
        let printed = client.prints("German.").await;
        assert_eq!(printed, "Swedish, English and German.", "{name}");
        assert!(client.ends().await, "{name}: {:?}", client.stderr.all());
    }
}

#[tokio::test]
async fn the_full_clients_come_back_to_a_server_that_was_killed() {
    let mut chat = Chat::with(&[]).await;
    for name in ["full.mjs", "full.py"] {
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["Swedish, ", "never heard"]).hold_after(1, &gate));
        let Some(mut client) = start(name, chat.server.address(), &[QUESTION]) else { return };
        client.prints("Swedish, ").await;
        chat.server.kill().await;
        chat.server.restart_on_the_same_port().await;
        // Nobody knows the words any more; under the same id the server tells how the answer ended.
        client.prints("[from the start]").await;
        client.ends().await;
        client.stderr.find("how it ended", |line| line.contains("interrupted")).await;
    }
}

#[tokio::test]
async fn the_full_clients_go_by_the_code_of_an_error() {
    let chat = Chat::with(&[]).await;
    for name in ["full.mjs", "full.py"] {
        let Some(mut client) = start(name, chat.server.address(), &[&"x".repeat(2001)]) else { return };
        assert!(!client.ends().await, "{name} succeeded with a question that is too long");
        let said = |line: &String| line.contains("MESSAGE_TOO_LONG");
        client.stderr.find("why it gave up", said).await;

        let broken = Script::of(&["Swedish, "]).error_in_stream(502, "gone");
        chat.upstream.queue(broken).queue(Script::of(&["English"]));
        let Some(mut client) = start(name, chat.server.address(), &[QUESTION]) else { return };
        client.prints("English").await;
        assert!(client.ends().await, "{name}: {:?}", client.stderr.all());
    }
}

/// Serves one page of HTML to whoever asks, on a port of its own, as an owner's site does; returns its origin.
async fn site() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

fn serve(listener: TcpListener, page: String) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The head of the request is short and comes in one piece; whatever is asked for, this is the answer.
            let _ = stream.read(&mut [0; 4096]).await;
            let length = page.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
            let _ = stream.write_all(format!("{head} {length}\r\n\r\n{page}").as_bytes()).await;
        }
    });
}

#[tokio::test]
async fn the_pages_chat_from_another_site_and_survive_a_refresh() {
    let Some(chromedriver) = named_by("TEST_CHROMEDRIVER", "the browser examples") else { return };
    let ((least, first), (full, second)) = (site().await, site().await);
    let origins = format!("{first},{second}");
    let chat = Chat::with(&[("ALLOWED_ORIGINS", origins.as_str())]).await;
    let cable = Cable::to(chat.server.address()).await;
    serve(least, code("least.html", chat.server.address()));
    serve(full, code("full.html", cable.address));
    let browser = Browser::start(chromedriver.as_os_str()).await;

    browser.open(&first).await;
    let whole = format!("document.getElementById('answer').textContent === '{OPENING} {QUESTION}'");
    browser.wait_until("the whole answer", &whole).await;

    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["Swedish, ", "English ", "and German."]).hold_after(1, &gate));
    browser.open(&second).await;
    let state = |text: &str| format!("document.forms[0].elements.state.value === '{text}'");
    browser.wait_until("a session", &state("ready")).await;
    browser.type_into("input", &format!("{QUESTION}\n")).await;
    let chat_is = |text: &str| format!("document.getElementById('chat').textContent.trim() === '{text}'");
    browser.wait_until("the first word", &chat_is(&format!("> {QUESTION}\\nSwedish,"))).await;
    cable.pull();
    gate.open();
    browser.wait_until("the end of the answer", &state("complete")).await;
    let transcript = chat_is(&format!("> {QUESTION}\\nSwedish, English and German."));
    browser.wait_until("every word once", &transcript).await;
    browser.refresh().await;
    browser.wait_until("the same after a refresh", &transcript).await;
}

//! The limit on open files: the server derives its connection limit from it and rejects connections
//! beyond that.

use tokio::net::TcpStream;

use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::process::run_command_with_open_files;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

/// The server needs 274 of these itself, which leaves 12 chats and 4 other connections.
const OPEN_FILES: u32 = 290;

async fn start_server(upstream: &FakeOpenRouter) -> Server {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with_all(&[("LLM_MAX_CONCURRENCY", "12"), ("DATABASE_POOL_SIZE", "2")])
        .open_files(OPEN_FILES);
    Server::start(config).await
}

#[tokio::test]
async fn connections_beyond_the_open_file_limit_are_rejected_and_counted() {
    let upstream = FakeOpenRouter::start().await;
    let server = start_server(&upstream).await;

    let before = Scrape::fetch(&server).await;
    assert_eq!(before.value("session_limit_connections"), 12.0);
    assert_eq!(before.value("process_max_fds"), f64::from(OPEN_FILES));

    let is_warning = |line: &&serde_json::Value| {
        line["msg"].as_str().is_some_and(|msg| msg.contains("limit of open files"))
    };
    let lines = server.logs();
    let warning = lines.iter().find(is_warning).unwrap();

    assert_eq!((&warning["limit"], &warning["let_in"]), (&OPEN_FILES.into(), &12.into()), "{warning}");

    let mut visitors = Vec::new();
    for _ in 0..12 {
        visitors.push(ChatClient::connect(&server).await);
    }

    for _ in 0..20 {
        let rejection = ChatClient::connect_with(&server, &Handshake::new()).await.err().unwrap();
        assert_eq!((rejection.status, &rejection.body["code"]), (503, &"OVERLOADED".into()), "{rejection:?}");
        assert!(rejection.header("retry-after").is_some(), "{rejection:?}");
    }

    // All connected visitors can receive an answer at the same time.
    for visitor in &mut visitors {
        upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));
        visitor.ask("What did she do?").await;
        visitor.receive_until("delta").await;
    }

    let during = Scrape::fetch(&server).await;
    assert_eq!(during.value("limits_refusals_total{limit=\"total_connections\"}"), 20.0);
    assert!(during.value("process_open_fds") < f64::from(OPEN_FILES), "{}", during.text);
}

#[tokio::test]
async fn idle_tcp_connections_do_not_block_visitors() {
    let upstream = FakeOpenRouter::start().await;
    let server = start_server(&upstream).await;
    let mut visitor = ChatClient::connect(&server).await;

    let mut idle = Vec::new();
    for _ in 0..2 * OPEN_FILES {
        idle.push(TcpStream::connect(server.address()).await.unwrap());
    }
    assert_eq!(visitor.ask_and_wait("Still there?").await.status(), "complete");
    assert!(Scrape::fetch(&server).await.value("process_open_fds") < f64::from(OPEN_FILES));

    drop(idle);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    assert!(ChatClient::connect_with(&server, &Handshake::new()).await.is_ok());
}

#[tokio::test]
async fn open_file_limit_that_is_too_low_is_reported_at_start() {
    let output =
        run_command_with_open_files(Some(250), &["demo"], &[("PORT", "0"), ("OPERATOR_ADDRESS", "off")])
            .await;
    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["250 open files", "ulimit -Hn", "LimitNOFILE", "LLM_MAX_CONCURRENCY"] {
        assert!(output.stderr.contains(word), "{word} is not in {}", output.stderr);
    }
}

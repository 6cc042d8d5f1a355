//! The system's limit of open files: what it carries is let in, and the rest is refused by name.

use tokio::net::TcpStream;

use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::handshake::Handshake;
use crate::support::http::get;
use crate::support::process::run_within;
use crate::support::scrape::Scrape;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

/// Of these 274 are for the rest of the server, so that 12 chats and 4 other connections are possible.
const OPEN_FILES: u32 = 290;

async fn server(upstream: &FakeOpenRouter) -> Server {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with_all(&[("LLM_MAX_CONCURRENCY", "12"), ("DATABASE_POOL_SIZE", "2")])
        .open_files(OPEN_FILES);
    Server::start(config).await
}

#[tokio::test]
async fn more_than_the_limit_of_open_files_carries_are_refused_by_name_and_counted() {
    let upstream = FakeOpenRouter::start().await;
    let server = server(&upstream).await;
    let before = Scrape::of(&server).await;
    assert_eq!(before.value("session_connections_max"), 12.0);
    assert_eq!(before.value("process_max_fds"), f64::from(OPEN_FILES));
    let warned =
        |line: &&serde_json::Value| line["msg"].as_str().is_some_and(|it| it.contains("limit of open files"));
    let lines = server.logs();
    let warning = lines.iter().find(warned).unwrap();
    assert_eq!(
        (&warning["limit"], &warning["max_connections"]),
        (&OPEN_FILES.into(), &12.into()),
        "{warning}"
    );

    let mut visitors = Vec::new();
    for _ in 0..12 {
        visitors.push(ChatClient::connect(&server).await);
    }
    for _ in 0..20 {
        let refusal = ChatClient::connect_with(&server, &Handshake::new()).await.err().unwrap();
        assert_eq!((refusal.status, &refusal.body["code"]), (503, &"OVERLOADED".into()), "{refusal:?}");
        assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    }
    // Everybody who is in can go on, with an answer each at one time.
    for visitor in &mut visitors {
        upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        visitor.ask("What did she do?").await;
        visitor.hear_until("delta").await;
    }
    let during = Scrape::of(&server).await;
    assert_eq!(during.value("limits_rejections_total{limit=\"total_connections\"}"), 20.0);
    assert!(during.value("process_open_fds") < f64::from(OPEN_FILES), "{}", during.text);
}

#[tokio::test]
async fn those_who_connect_and_say_nothing_do_not_keep_others_out_for_long() {
    let upstream = FakeOpenRouter::start().await;
    let server = server(&upstream).await;
    let mut visitor = ChatClient::connect(&server).await;
    let mut silent = Vec::new();
    for _ in 0..2 * OPEN_FILES {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    assert_eq!(visitor.ask_and_hear("Still there?").await.status(), "complete");
    assert!(Scrape::of(&server).await.value("process_open_fds") < f64::from(OPEN_FILES));
    drop(silent);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    assert!(ChatClient::connect_with(&server, &Handshake::new()).await.is_ok());
}

#[tokio::test]
async fn a_limit_that_leaves_no_room_is_said_at_start() {
    let output = run_within(Some(250), &["demo"], &[("PORT", "0"), ("OPERATOR_ADDRESS", "off")]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["250 open files", "ulimit -Hn", "LimitNOFILE", "LLM_MAX_CONCURRENCY"] {
        assert!(output.stderr.contains(word), "{word} is not in {}", output.stderr);
    }
}

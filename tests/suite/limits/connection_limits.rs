//! Limits on connections: their number, and the origins they may come from.

use serde_json::{Value, json};

use crate::support::client::answer::SessionInfo;
use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::{Handshake, Rejection};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

fn assert_rejected(rejection: &Rejection, status: u16, code: &str) {
    assert_eq!(rejection.status, status, "{rejection:?}");
    assert_eq!(rejection.body["code"], code, "{rejection:?}");
    assert!(
        rejection.body["message"].is_string() && rejection.body["retryable"].is_boolean(),
        "{rejection:?}"
    );
    assert_eq!(rejection.body["request_id"].as_str(), rejection.header("x-request-id"), "{rejection:?}");
    assert!(
        rejection.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
        "{rejection:?}"
    );
}

#[tokio::test]
async fn connection_beyond_the_limit_is_rejected_until_another_closes() {
    let mut chat = Chat::new(&[("MAX_CONNECTIONS", "2")]).await;
    let second = chat.connect().await;

    let Err(rejection) = ChatClient::connect_with(&chat.server, &Handshake::new()).await else {
        return assert!(chat.server.logs().is_empty(), "a third connection was accepted");
    };
    assert_rejected(&rejection, 503, "OVERLOADED");

    let seconds = rejection.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    assert_eq!(rejection.body["retry_after_ms"], json!(seconds.map(|seconds| seconds * 1000)));

    assert_eq!(second.close().await, 1000);

    let third = loop {
        // The slot becomes free shortly after the close frame.
        if let Ok(client) = ChatClient::connect_with(&chat.server, &Handshake::new()).await {
            break client;
        }
    };
    drop(third);
    chat.visitor.expect_no_more_frames().await;
}

/// Connects with this origin. Returns the session, or the body of the rejection.
async fn connect_with_origin(chat: &Chat, origin: Option<&str>) -> Result<SessionInfo, Value> {
    let handshake = origin.map_or_else(Handshake::new, |origin| Handshake::new().origin(origin));
    match ChatClient::connect_with(&chat.server, &handshake).await {
        Ok(mut client) => Ok(client.start().await),
        Err(rejection) => {
            assert_rejected(&rejection, 403, "NOT_AUTHORIZED");
            Err(rejection.body)
        }
    }
}

#[tokio::test]
async fn only_own_and_allowed_origins_may_connect() {
    let listed = "https://ada.example, http://localhost:3000";
    let chat = Chat::new(&[("ALLOWED_ORIGINS", listed)]).await;
    let own = format!("http://{}", chat.server.address());

    for origin in [own.as_str(), "https://ada.example", "HTTPS://Ada.Example", "http://localhost:3000"] {
        assert!(connect_with_origin(&chat, Some(origin)).await.is_ok(), "{origin}");
    }

    for origin in [
        "https://evil.example",
        "https://ada.example.evil.example",
        "https://www.ada.example",
        "http://ada.example",
        "http://localhost:3001",
        "http://127.0.0.1",
        "null",
        "",
    ] {
        assert!(connect_with_origin(&chat, Some(origin)).await.is_err(), "{origin}");
    }

    assert!(connect_with_origin(&chat, None).await.is_ok(), "a client without an origin was rejected");
}

#[tokio::test]
async fn clients_without_an_origin_can_be_rejected() {
    let upstream = FakeOpenRouter::start().await;
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("ALLOW_MISSING_ORIGIN", "false");
    let server = Server::start(config).await;

    let rejection = ChatClient::connect_with(&server, &Handshake::new()).await.err();
    assert!(rejection.is_some(), "a client without an origin was accepted");

    rejection.iter().for_each(|rejection| assert_rejected(rejection, 403, "NOT_AUTHORIZED"));
    let own = format!("http://{}", server.address());
    assert!(ChatClient::connect_with(&server, &Handshake::new().origin(&own)).await.is_ok());
}

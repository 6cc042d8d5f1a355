//! Which key the model server receives, from where it is read, and which proxy is used.

use serde_json::Value;

use crate::support::client::chat::Chat;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_command;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

const RESUME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md");

async fn key_received(chat: &mut Chat) -> Option<String> {
    assert_eq!(chat.visitor.ask_and_wait("Where?").await.status(), "complete");
    chat.upstream.next_request().await.headers.get("authorization").cloned()
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used_for_this_machine() {
    let proxy = FakeOpenRouter::start().await;
    let url = proxy.base_url().replace("/api/v1", "");
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"]
        .map(|name| (name, url.as_str()));
    for host in ["127.0.0.1", "localhost"] {
        let upstream = FakeOpenRouter::start().await;
        let base_url = upstream.base_url().replace("127.0.0.1", host);
        let config = ServerConfig::command(&["serve"])
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", base_url)
            .with_all(&proxies);
        let mut chat = Chat::from_config(config, upstream, &[]).await;
        assert!(key_received(&mut chat).await.is_some(), "{host}");
        assert_eq!((proxy.requests().len(), proxy.open_connections()), (0, 0), "{host}");
    }
}

#[tokio::test]
async fn openai_key_is_sent_to_other_servers_and_never_to_openrouter() {
    let mut chat = Chat::new(&[("OPENROUTER_API_KEY", ""), ("OPENAI_API_KEY", "sk-proj-test-key")]).await;
    assert_eq!(key_received(&mut chat).await.as_deref(), Some("Bearer sk-proj-test-key"));

    let mut chat = Chat::with_openrouter(&[("OPENAI_API_KEY", "sk-proj-test-key")]).await;
    assert_eq!(key_received(&mut chat).await.as_deref(), Some("Bearer sk-or-test-key"));
    let is_warning = |line: &Value| {
        line["msg"].as_str().is_some_and(|message| message.starts_with("OPENAI_API_KEY is ignored"))
    };
    let warning = chat.server.wait_for_log("the warning", is_warning).await;
    assert_eq!(warning["level"], "warning");

    let settings = [("RESUME_PATH", RESUME), ("OPENAI_API_KEY", "sk-proj-test-key")];
    let output = run_command(&["check"], &settings).await;
    assert_eq!(output.code, Some(78), "{output:?}");
    for words in
        ["OPENROUTER_API_KEY is required", "does not receive OPENAI_API_KEY", "https://api.openai.com/v1"]
    {
        assert!(output.stderr.contains(words), "{words} is not in {}", output.stderr);
    }
}

#[tokio::test]
async fn keys_and_database_urls_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let key = file("key", "sk-or-key-of-the-file\n");
    let database = folder.path().join("chat.db");
    let url = file("url", &format!("sqlite://{}\n", database.display()));
    let upstream = FakeOpenRouter::start().await;
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("OPENROUTER_API_KEY_FILE", &key)
        .with("DATABASE_URL_FILE", &url)
        // An empty value counts as unset.
        .with_all(&[("OPENROUTER_API_KEY", ""), ("DATABASE_URL", "")]);
    let mut chat = Chat::from_config(config, upstream, &[]).await;
    assert_eq!(key_received(&mut chat).await.as_deref(), Some("Bearer sk-or-key-of-the-file"));
    assert!(database.exists());

    let list = run_command(&["conversations", "list"], &[("DATABASE_URL_FILE", url.as_str())]).await;
    assert_eq!((list.code, list.stdout.lines().count()), (Some(0), 2), "{list:?}");

    let missing = folder.path().join("none").display().to_string();
    let settings = [("RESUME_PATH", RESUME), ("OPENROUTER_API_KEY_FILE", missing.as_str())];
    let output = run_command(&["check"], &settings).await;
    assert_eq!(output.code, Some(78), "{output:?}");
    for words in ["one setting is invalid", "OPENROUTER_API_KEY_FILE cannot be read", &missing] {
        assert!(output.stderr.contains(words), "{words} is not in {}", output.stderr);
    }
}

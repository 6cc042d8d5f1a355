//! The log: its format and levels, and what it must never contain.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::SessionInfo;
use crate::support::client::chat::FAIL_FAST;
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

const KEY: &str = "sk-or-v1-9f2cmarkerkey77d1e0b3a6";
const QUESTION: &str = "markerquestion";
const ANSWER: &str = "markeranswer";

/// Returns everything the server wrote to standard output and standard error.
fn all_output(server: &Server) -> String {
    let lines = server.logs().iter().map(ToString::to_string).collect::<Vec<_>>();
    [server.stdout().join("\n"), lines.join("\n")].join("\n")
}

/// Asks questions for a complete turn and for each kind of failed turn, with text close to an error
/// message.
async fn complete_and_fail_turns(upstream: &FakeOpenRouter, visitor: &mut ChatClient) {
    upstream.queue(Script::from_words(&[ANSWER, " one"]));
    visitor.ask_with_id("q-1", &format!("{QUESTION} one?")).await;
    assert_eq!(visitor.receive_answer().await.text, format!("{ANSWER} one"));

    upstream.queue(Script::from_words(&[ANSWER]).error_in_stream_after(1, 502, "upstream is unwell"));
    assert_eq!(visitor.ask_and_wait(&format!("{QUESTION} two?")).await.status(), "failed");

    upstream.queue(Script::rejection(500, "upstream refuses"));
    assert_eq!(visitor.ask_and_wait(&format!("{QUESTION} three?")).await.status(), "failed");

    upstream.queue(Script::from_words(&[ANSWER]).drop_connection_after(1));
    visitor.ask_and_wait(&format!("{QUESTION} four?")).await;

    upstream.queue(Script::new().bytes(format!("data: {{\"{ANSWER}\n\n")).no_finish());
    visitor.ask_and_wait(&format!("{QUESTION} five?")).await;
}

/// Sends frames that are rejected, and requests the history.
async fn send_invalid_requests(visitor: &mut ChatClient) {
    visitor.ask_with_id("q-1", &format!("{QUESTION} other?")).await;
    visitor.expect_error("DUPLICATE_ID").await;

    visitor.send_text(&format!("{{\"type\": \"question\", \"question\": [\"{QUESTION}\"]}}")).await;
    visitor.expect_error("VALIDATION_ERROR").await;

    visitor.send_text(QUESTION).await;
    visitor.expect_error("VALIDATION_ERROR").await;

    visitor.send(json!({"type": "question", "question": QUESTION.repeat(200)})).await;
    visitor.expect_error("MESSAGE_TOO_LONG").await;

    visitor.send(json!({"type": "history"})).await;
    visitor.expect_frame("history").await;
}

/// Resumes the session on another connection, and tries to resume it with a wrong token.
async fn take_session_over(server: &Server, session: &SessionInfo) {
    let mut owner = ChatClient::connect(server).await;
    owner.resume(session, json!(null)).await;

    let mut wrong = session.clone();
    wrong.resume_token = "markertoken".repeat(4);
    let mut thief = ChatClient::connect(server).await;
    thief.send_resume(&wrong, json!(null)).await;
    thief.expect_error("SESSION_NOT_FOUND").await;
}

on_both_stores! {
    async fn log_contains_no_messages_and_no_secrets(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream)
            .with("OPENROUTER_API_KEY", KEY)
            .with("LOG_LEVEL", "trace")
            .with_all(&FAIL_FAST)
            .resume("# Ada Example\n\n## Experience\n\n- markerresume Rail, 2019 to 2024\n");
        let mut server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;

        complete_and_fail_turns(&upstream, &mut visitor).await;
        send_invalid_requests(&mut visitor).await;
        take_session_over(&server, &session).await;
        assert_eq!(visitor.wait_for_close().await, 4409);

        server.terminate().await;
        assert!(server.wait_for_exit().await.success());

        let output = all_output(&server);
        for secret in
            [QUESTION, ANSWER, "markertoken", KEY, "markerkey", "markerresume", &session.resume_token]
        {
            assert!(!output.contains(secret), "{secret} is in the output:\n{output}");
        }

        // The error messages of the model server are logged.
        assert!(output.contains("upstream is unwell") && output.contains("upstream refuses"), "{output}");
    }

    async fn every_log_line_is_json_with_time_level_and_message(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server =
            Server::start(ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "trace")).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask_and_wait("A \"quoted\"\nquestion?").await;
        visitor.close().await;
        server.terminate().await;
        server.wait_for_exit().await;
        let lines = server.logs();

        assert!(lines.len() > 5, "{lines:#?}");

        for line in &lines {
            for field in ["ts", "level", "msg", "module"] {
                assert!(line[field].is_string(), "no {field} in {line}");
            }
            let time = line["ts"].as_str().unwrap_or_default();
            assert!(humantime::parse_rfc3339(time).is_ok() && time.ends_with('Z'), "{line}");
            let level = line["level"].as_str().unwrap_or_default();
            let levels =
                ["trce", "debg", "trace", "debug", "info", "warn", "warning", "error", "erro", "crit"];
            assert!(levels.contains(&level), "{line}");
            // Libraries log only warnings even at trace, because hyper logs the bytes it reads.
            let own = line["module"].as_str().is_some_and(|module| module.starts_with("resume_chatbot"));
            assert!(own || ["warn", "warning", "erro", "error", "crit"].contains(&level), "{line}");
        }
    }

    async fn every_turn_is_logged_once_with_its_durations(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with_all(&FAIL_FAST);
        let server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        upstream.queue(Script::from_words(&["One ", "two."]));

        visitor.ask_and_wait("Where?").await;
        let line = server.wait_for_log("the turn's end", |line| line["msg"] == "turn ended").await;
        let stage = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"));

        assert!(stage("queued_ms") <= stage("first_word_ms"), "{line}");
        assert!(stage("first_word_ms") + stage("store_ms") <= stage("total_ms") + 1, "{line}");

        upstream.queue(Script::rejection(500, "no"));
        visitor.ask_and_wait("Where now?").await;
        let failed = server.wait_for_log("the failed turn's end", |line| line["status"] == "failed").await;

        assert!(failed["first_word_ms"].is_null() && failed["total_ms"].is_u64(), "{failed}");

        let ended = server.logs().iter().filter(|line| line["msg"] == "turn ended").count();
        assert_eq!(ended, 2);
    }

    async fn log_level_can_be_set_per_module(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let levels = "error,resume_chatbot::session=debug";
        let config = ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", levels);
        let mut server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;

        visitor.ask_and_wait("Where?").await;
        visitor.send_text("no JSON").await;

        visitor.expect_error("VALIDATION_ERROR").await;

        server.wait_for_log("a debug line", |line| line["msg"] == "request refused").await;
        server.terminate().await;
        server.wait_for_exit().await;

        for line in server.logs() {
            let module = line["module"].as_str().unwrap_or_default();
            assert!(module.starts_with("resume_chatbot::session"), "{line}");
        }
    }

    async fn log_level_hides_lower_levels(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;

        // Few connections, to avoid the warning about the open file limit.
        let config =
            ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "debug").with("MAX_CONNECTIONS", 100);
        let mut server = Server::start(config).await;
        let rejected = async |server: &Server| {
            let mut visitor = ChatClient::connect(server).await;
            visitor.send_text("no JSON").await;
            visitor.expect_error("VALIDATION_ERROR").await;
        };
        rejected(&server).await;
        server.wait_for_log("a debug line", |line| line["msg"] == "request refused").await;
        server.set("LOG_LEVEL", "warning");
        server.restart().await;
        rejected(&server).await;
        server.terminate().await;
        server.wait_for_exit().await;

        assert_eq!(server.logs(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn human_log_format_is_not_json() {
    let settings = [("DATABASE_URL", "sqlite://here.db"), ("LOG_FORMAT", "human")];

    let migrated = run_command(&["migrate"], &settings).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");

    let line = migrated.stderr.lines().next().unwrap_or_default();
    assert!(line.contains("INFO") && line.contains("database is up to date"), "{line}");
    assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");

    let migrated = run_command(&["migrate"], &settings[..1]).await;
    assert!(serde_json::from_str::<Value>(migrated.stderr.trim()).is_ok(), "{migrated:?}");
}

//! What the log may never hold, and what every line of it is.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::chat::AS_IT_FAILS;
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::process::run_to_end;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

const KEY: &str = "sk-or-v1-9f2cmarkerkey77d1e0b3a6";
const QUESTION: &str = "markerquestion";
const ANSWER: &str = "markeranswer";

/// Everything that was written, to both outputs.
fn written(server: &Server) -> String {
    let lines = server.logs().iter().map(ToString::to_string).collect::<Vec<_>>();
    [server.stdout().join("\n"), lines.join("\n")].join("\n")
}

on_both_stores! {
    async fn no_line_holds_what_was_said_or_what_must_stay_secret(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream)
            .with("OPENROUTER_API_KEY", KEY)
            .with("LOG_LEVEL", "trace")
            .with_all(&AS_IT_FAILS)
            .resume("# Ada Example\n\n## Experience\n\n- markerresume Rail, 2019 to 2024\n");
        let mut server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        upstream.queue(Script::of(&[ANSWER, " one"]));
        visitor.ask_with_id("q-1", &format!("{QUESTION} one?")).await;
        assert_eq!(visitor.answer().await.text, format!("{ANSWER} one"));
        // Every way in which a turn goes wrong, with words that are near an error message.
        upstream.queue(Script::of(&[ANSWER]).error_in_stream_after(1, 502, "upstream is unwell"));
        assert_eq!(visitor.ask_and_hear(&format!("{QUESTION} two?")).await.status(), "failed");
        upstream.queue(Script::refusal(500, "upstream refuses"));
        assert_eq!(visitor.ask_and_hear(&format!("{QUESTION} three?")).await.status(), "failed");
        upstream.queue(Script::of(&[ANSWER]).drop_connection_after(1));
        visitor.ask_and_hear(&format!("{QUESTION} four?")).await;
        upstream.queue(Script::new().bytes(format!("data: {{\"{ANSWER}\n\n")).no_finish());
        visitor.ask_and_hear(&format!("{QUESTION} five?")).await;
        visitor.ask_with_id("q-1", &format!("{QUESTION} other?")).await;
        visitor.hear_error("DUPLICATE_ID").await;
        visitor.say_text(&format!("{{\"type\": \"question\", \"question\": [\"{QUESTION}\"]}}")).await;
        visitor.hear_error("VALIDATION_ERROR").await;
        visitor.say_text(QUESTION).await;
        visitor.hear_error("VALIDATION_ERROR").await;
        visitor.say(json!({"type": "question", "question": QUESTION.repeat(200)})).await;
        visitor.hear_error("MESSAGE_TOO_LONG").await;
        visitor.say(json!({"type": "history"})).await;
        visitor.hear_type("history").await;
        let mut back = ChatClient::connect(&server).await;
        back.resume(&session, json!(null)).await;
        assert_eq!(visitor.hear_close().await, 4409);
        let mut wrong = session.clone();
        wrong.resume_token = "markertoken".repeat(4);
        let mut thief = ChatClient::connect(&server).await;
        thief.ask_to_resume(&wrong, json!(null)).await;
        thief.hear_error("SESSION_NOT_FOUND").await;
        server.terminate().await;
        assert!(server.wait_exit().await.success());
        let written = written(&server);
        for secret in [QUESTION, ANSWER, "markertoken", KEY, "markerkey", "markerresume", &session.resume_token] {
            assert!(!written.contains(secret), "{secret} was written:\n{written}");
        }
        // What the operator needs is there all the same.
        assert!(written.contains("upstream is unwell") && written.contains("upstream refuses"), "{written}");
    }

    async fn every_line_is_json_with_a_time_a_level_and_a_message(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server =
            Server::start(ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "trace")).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask_and_hear("A \"quoted\"\nquestion?").await;
        visitor.leave().await;
        server.terminate().await;
        server.wait_exit().await;
        let lines = server.logs();
        assert!(lines.len() > 5, "{lines:#?}");
        for line in &lines {
            for field in ["ts", "level", "msg", "module"] {
                assert!(line[field].is_string(), "no {field} in {line}");
            }
            let time = line["ts"].as_str().unwrap_or_default();
            assert!(humantime::parse_rfc3339(time).is_ok() && time.ends_with('Z'), "{line}");
            let level = line["level"].as_str().unwrap_or_default();
            let levels = ["trce", "debg", "trace", "debug", "info", "warn", "warning", "error", "erro", "crit"];
            assert!(levels.contains(&level), "{line}");
            // At trace the libraries would otherwise drown the rest, and hyper tells what it reads.
            let own = line["module"].as_str().is_some_and(|module| module.starts_with("resume_chatbot"));
            assert!(own || ["warn", "warning", "erro", "error", "crit"].contains(&level), "{line}");
        }
    }

    async fn a_turn_is_summed_up_in_one_line_with_its_stages(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with_all(&AS_IT_FAILS);
        let server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        upstream.queue(Script::of(&["One ", "two."]));
        visitor.ask_and_hear("Where?").await;
        let line = server.wait_for_log("the turn's end", |line| line["msg"] == "turn ended").await;
        let stage = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"));
        assert!(stage("queued_ms") <= stage("first_word_ms"), "{line}");
        assert!(stage("first_word_ms") + stage("store_ms") <= stage("total_ms") + 1, "{line}");
        upstream.queue(Script::refusal(500, "no"));
        visitor.ask_and_hear("Where now?").await;
        let failed = server.wait_for_log("the failed turn's end", |line| line["status"] == "failed").await;
        assert!(failed["first_word_ms"].is_null() && failed["total_ms"].is_u64(), "{failed}");
        let ended = server.logs().iter().filter(|line| line["msg"] == "turn ended").count();
        assert_eq!(ended, 2);
    }

    async fn a_module_may_have_a_level_of_its_own(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let levels = "error,resume_chatbot::session=debug";
        let config = ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", levels);
        let mut server = Server::start(config).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask_and_hear("Where?").await;
        visitor.say_text("no JSON").await;
        visitor.hear_error("VALIDATION_ERROR").await;
        server.wait_for_log("a debug line", |line| line["msg"] == "request refused").await;
        server.terminate().await;
        server.wait_exit().await;
        for line in server.logs() {
            let module = line["module"].as_str().unwrap_or_default();
            assert!(module.starts_with("resume_chatbot::session"), "{line}");
        }
    }

    async fn a_level_hides_what_is_below_it(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        // Few enough for any system's limit of open files, about which there would be a line.
        let config = ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "debug").with("MAX_CONNECTIONS", 100);
        let mut server = Server::start(config).await;
        let refused = async |server: &Server| {
            let mut visitor = ChatClient::connect(server).await;
            visitor.say_text("no JSON").await;
            visitor.hear_error("VALIDATION_ERROR").await;
        };
        refused(&server).await;
        server.wait_for_log("a debug line", |line| line["msg"] == "request refused").await;
        server.set("LOG_LEVEL", "warning");
        server.restart().await;
        refused(&server).await;
        server.terminate().await;
        server.wait_exit().await;
        assert_eq!(server.logs(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_person_at_a_terminal_may_have_lines_to_read() {
    let settings = [("DATABASE_URL", "sqlite://here.db"), ("LOG_FORMAT", "human")];
    let migrated = run_to_end(&["migrate"], &settings).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let line = migrated.stderr.lines().next().unwrap_or_default();
    assert!(line.contains("INFO") && line.contains("the database is up to date"), "{line}");
    assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
    let migrated = run_to_end(&["migrate"], &settings[..1]).await;
    assert!(serde_json::from_str::<Value>(migrated.stderr.trim()).is_ok(), "{migrated:?}");
}

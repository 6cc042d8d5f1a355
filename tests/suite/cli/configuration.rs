//! Settings and their error messages, and the commands `check`, `migrate` and `demo`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::stores::schema::migrations;
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::{RESUME, ServerConfig};
use crate::support::server::process::{Output, run_command};
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::StoreKind;

/// The exit code for configuration errors, `EX_CONFIG`.
const CONFIGURATION_ERROR: Option<i32> = Some(78);

/// A directory with a resume, and the minimal settings to serve it.
struct Deployment {
    folder: TempDir,
    settings: Vec<(String, String)>,
}

impl Deployment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("resume.md"), RESUME).unwrap();
        let resume = folder.path().join("resume.md").display().to_string();
        let database = format!("sqlite://{}", folder.path().join("chat.db").display());
        Self { folder, settings: Vec::new() }
            .with("RESUME_PATH", &resume)
            .with("DATABASE_URL", &database)
            .with("OPENROUTER_API_KEY", "sk-or-v1-0a1b2c3d4e5f60718293a4b5")
            .with("PORT", "0")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the directory, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).unwrap();
        self.folder.path().join(name).display().to_string()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        run_command(arguments, &settings.collect::<Vec<_>>()).await
    }

    /// Runs `serve`, which must reject the settings, and returns its standard error.
    async fn configuration_errors(&self) -> String {
        let output = self.run(&["serve"]).await;
        assert_eq!(output.code, CONFIGURATION_ERROR, "{output:?}");
        assert_eq!(output.stdout, "", "{output:?}");
        let checked = self.run(&["check"]).await;
        assert_eq!(checked.code, CONFIGURATION_ERROR, "{checked:?}");
        output.stderr
    }
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[tokio::test]
async fn all_configuration_errors_are_reported_at_once_without_secrets() {
    let deployment = Deployment::new()
        .with("OPENROUTER_API_KEY", "\"sk-or-v1-verysecretmarker\"")
        .with("DATABASE_URL", "mysql://ada:passwordmarker@db.example/chat?sslkey=optionmarker")
        .with("RESUME_PATH", "/nowhere/resume.pdf")
        .with("PORT", "99999")
        .with("MAX_CONTEXT_TOKENS", "many")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "0")
        .with("IDLE_TIMEOUT", "soon")
        .with("LOG_LEVEL", "loud");

    let errors = deployment.configuration_errors().await;
    assert_contains(
        &errors,
        &["8 settings are invalid", "OPENROUTER_API_KEY", "DATABASE_URL", "RESUME_PATH", "PORT"],
    );
    assert_contains(
        &errors,
        &["MAX_CONTEXT_TOKENS", "RATE_LIMIT_REQUESTS_PER_MINUTE", "IDLE_TIMEOUT", "LOG_LEVEL"],
    );
    assert_contains(&errors, &["99999", "many", "/nowhere/resume.pdf", "loud", "from 0 to 65535", "mysql"]);
    assert_eq!(errors.matches("given:").count(), 8, "{errors}");
    assert_eq!(errors.matches("accepted:").count(), 8, "{errors}");

    for secret in ["marker", "verysecret", "password", "optionmarker"] {
        let shown = errors.lines().filter(|line| !line.contains("accepted:"));
        assert!(shown.into_iter().all(|line| !line.contains(secret)), "{secret} is in:\n{errors}");
    }
}

#[tokio::test]
async fn placeholder_api_keys_are_rejected() {
    for placeholder in ["", "   ", "your-api-key-here", "sk-or-v1-xxxxxxxxxxxx", "changeme", "<your key>"] {
        let errors = Deployment::new().with("OPENROUTER_API_KEY", placeholder).configuration_errors().await;
        assert_contains(
            &errors,
            &["one setting is invalid", "OPENROUTER_API_KEY", "https://openrouter.ai/keys"],
        );
    }

    // A self-hosted model server may need no key.
    let self_hosted =
        Deployment::new().with("OPENROUTER_API_KEY", "").with("LLM_BASE_URL", "http://127.0.0.1:9/v1");
    let checked = self_hosted.run(&["check"]).await;

    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn missing_empty_broken_or_long_resumes_are_rejected() {
    let deployment = Deployment::new();
    let (empty, blank) = (deployment.file("empty.md", ""), deployment.file("blank.md", " \n\t\n"));

    let broken = deployment.file("broken.pdf", "%PDF-1.7 and nothing more");
    let missing = deployment.folder.path().join("missing.md").display().to_string();
    let folder = deployment.folder.path().display().to_string();
    let mut deployment = deployment;

    for path in ["", &missing, &empty, &blank, &broken, &folder] {
        deployment = deployment.with("RESUME_PATH", path);
        let errors = deployment.configuration_errors().await;
        assert_contains(&errors, &["RESUME_PATH"]);
        assert!(path.is_empty() || errors.contains(path), "{path} is not in:\n{errors}");
    }

    let long =
        deployment.file("long.md", &format!("# Ada\n\n## Work\n\n{}", "- built a bridge\n".repeat(3000)));
    let errors = deployment.with("RESUME_PATH", &long).configuration_errors().await;

    assert_contains(&errors, &["tokens", "MAX_CONTEXT_TOKENS = 8000", "MAX_RESPONSE_TOKENS"]);
}

#[tokio::test]
async fn port_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Deployment::new().with("PORT", &port).run(&["serve"]).await;

    assert_eq!(output.code, Some(1), "{output:?}");

    let error = output.stderr.lines().last().unwrap_or_default();
    assert_contains(error, &[&format!("port {port}"), "127.0.0.1", "taken", "PORT"]);
}

#[tokio::test]
async fn environment_overrides_file_and_file_overrides_defaults() {
    let deployment = Deployment::new().with("RATE_LIMIT_REQUESTS_PER_MINUTE", "3");
    let text = "rate_limit_requests_per_minute = 7\nllm_model = \"from/file\"\nidle_timeout = \"11m\"\n";

    let file = deployment.file("chat.toml", text);
    let output = deployment.run(&["check", "--config", &file]).await;
    assert_eq!(output.code, Some(0), "{output:?}");

    let value = |name: &str| {
        let line = output.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_default().to_owned()
    };
    assert_eq!(value("RATE_LIMIT_REQUESTS_PER_MINUTE"), "3");
    assert_eq!((value("LLM_MODEL"), value("IDLE_TIMEOUT")), ("from/file".to_owned(), "11m".to_owned()));
    assert_eq!(value("MAX_CONTEXT_TOKENS"), "8000");

    let file = deployment.file("wrong.toml", "rate_limit_request_per_minute = 7\n");
    let output = deployment.run(&["serve", "--config", &file]).await;
    assert_eq!(output.code, CONFIGURATION_ERROR, "{output:?}");
    assert_contains(
        &output.stderr,
        &["rate_limit_request_per_minute", "rate_limit_requests_per_minute", &file],
    );

    let output = deployment.run(&["serve", "--config", "/nowhere/chat.toml"]).await;
    assert_eq!(output.code, CONFIGURATION_ERROR, "{output:?}");
    assert_contains(&output.stderr, &["--config", "/nowhere/chat.toml"]);
}

#[tokio::test]
async fn check_prints_the_configuration_and_changes_nothing() {
    let deployment = Deployment::new();

    let output = deployment.run(&["check"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_contains(
        &output.stdout,
        &["OPENROUTER_API_KEY", "a4b5", "Resume of Ada Example", "Experience", "Education"],
    );

    let pending = format!("connected, pending migrations: {}", migrations(StoreKind::Sqlite).len());
    assert_contains(&output.stdout, &["tokens", "% of the context window", &pending]);
    assert!(!output.stdout.contains("sk-or-v1-0a1b"), "{output:?}");
    assert_eq!(deployment.run(&["migrate"]).await.code, Some(0));
    assert_contains(&deployment.run(&["check"]).await.stdout, &["connected, up to date"]);

    let unreachable = deployment.with("DATABASE_URL", "postgres://ada:passwordmarker@127.0.0.1:9/chat");
    let output = unreachable.run(&["check"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_contains(&output.stderr, &["Database"]);
    assert!(!format!("{output:?}").contains("passwordmarker"), "{output:?}");
}

#[tokio::test]
async fn second_migration_applies_nothing() {
    let deployment = Deployment::new();

    let apply_migrations = async || {
        let output = deployment.run(&["migrate"]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        let line: serde_json::Value = serde_json::from_str(output.stderr.trim()).unwrap();
        line["applied"].as_str().unwrap_or("?").to_owned()
    };
    assert!(!apply_migrations().await.is_empty());
    assert_eq!(apply_migrations().await, "");
}

#[tokio::test]
async fn sqlalchemy_database_urls_are_accepted() {
    let deployment = Deployment::new();

    let file = deployment.folder.path().join("python.db");
    let deployment = deployment.with("DATABASE_URL", &format!("sqlite+aiosqlite:///{}", file.display()));

    assert_eq!(deployment.run(&["migrate"]).await.code, Some(0));
    assert!(file.exists());

    let name = format!("{}::sqlalchemy_database_urls", module_path!());
    let Some(store) = StoreKind::Postgres.create_for(&name).await else { return };

    let mut deployment = deployment;
    for scheme in ["postgresql://", "postgresql+asyncpg://", "postgresql+psycopg://"] {
        deployment = deployment.with("DATABASE_URL", &store.url().replacen("postgres://", scheme, 1));
        let output = deployment.run(&["check"]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_contains(&output.stdout, &["connected"]);
    }
}

#[tokio::test]
async fn demo_needs_no_settings_and_leaves_no_files() {
    let temporary = tempfile::tempdir().unwrap();
    let config = ServerConfig::demo()
        .with("TMPDIR", temporary.path().display())
        .with("DATABASE_URL", "mysql://nobody/reads/this")
        .with("OPENROUTER_API_KEY", "changeme");
    let mut server = Server::start(config).await;
    let entries = || fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path());

    let folders: Vec<_> = entries().collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    assert!(folders[0].join("demo.db").exists());

    let mut visitor = ChatClient::connect(&server).await;
    let session = visitor.start().await;
    assert_eq!(
        (&session.frame["mode"], &session.frame["resume"]["name"]),
        (&"excerpts".into(), &"Mara Lindqvist".into())
    );
    assert!(session.frame["suggestions"].as_array().is_some_and(|suggestions| !suggestions.is_empty()));

    let answer = visitor.ask_and_wait("What did she do at Fjordline Freight?").await;
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &"excerpts".into()));
    assert_contains(&answer.text, &["> ", "Fjordline Freight", "tracking pipeline"]);
    assert!(answer.done["citations"].to_string().contains("Fjordline Freight"), "{}", answer.done);

    let answer = visitor.ask_and_wait("What is the capital of Peru?").await;
    assert_contains(&answer.text, &["does not seem to answer that", "- Experience"]);
    assert_eq!((answer.status(), answer.done["citations"].to_string().as_str()), ("complete", "[]"));

    server.terminate().await;
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    assert_eq!(entries().count(), 0);
}

#[tokio::test]
async fn server_listens_on_the_configured_port() {
    let mut server = Server::start(ServerConfig::demo()).await;

    let before = server.address();
    server.restart_on_the_same_port().await;

    assert_eq!(server.address(), before);
    assert!(server.stdout().join("\n").contains(&format!("http://{before}")));
}

#[tokio::test]
async fn every_setting_in_the_default_file_has_its_own_comment() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut keys = Vec::new();

    for (before, line) in lines.iter().zip(&lines[1..]) {
        if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let has_own_comment = before.starts_with("# ") && !before.starts_with("# ---");
            assert!(has_own_comment || before.contains(" = "), "{key} has no comment");
            assert!(has_own_comment, "{key} shares its comment with another setting");
            keys.push(key.trim().to_uppercase());
        }
    }

    let checked = Deployment::new().run(&["check"]).await;
    let shown = checked.stdout.lines().skip(1).take_while(|line| !line.is_empty());
    let shown: Vec<&str> = shown.filter_map(|line| line.split_whitespace().next()).collect();

    assert_eq!(keys, shown);
}

//! Settings: every fault at once and no secret among them; `check`, `migrate`, `demo`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::stores::migrations;
use crate::support::chat_client::ChatClient;
use crate::support::process::{Output, run_to_end};
use crate::support::server::Server;
use crate::support::server_config::{RESUME, ServerConfig};
use crate::support::stores::Store;

/// `EX_CONFIG`.
const REFUSED: Option<i32> = Some(78);

/// A folder with a resume, and the settings that are enough to serve it.
struct Owner {
    folder: TempDir,
    settings: Vec<(String, String)>,
}

impl Owner {
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
        self.settings.retain(|(each, _)| each != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the folder; says where it is.
    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).unwrap();
        self.folder.path().join(name).display().to_string()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        run_to_end(arguments, &settings.collect::<Vec<_>>()).await
    }

    /// What `serve` writes when it must refuse these settings.
    async fn refusal(&self) -> String {
        let output = self.run(&["serve"]).await;
        assert_eq!(output.code, REFUSED, "{output:?}");
        assert_eq!(output.stdout, "", "{output:?}");
        let checked = self.run(&["check"]).await;
        assert_eq!(checked.code, REFUSED, "{checked:?}");
        output.stderr
    }
}

fn names(text: &str, what: &[&str]) {
    for name in what {
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_no_secret() {
    let owner = Owner::new()
        .with("OPENROUTER_API_KEY", "\"sk-or-v1-verysecretmarker\"")
        .with("DATABASE_URL", "mysql://ada:passwordmarker@db.example/chat?sslkey=optionmarker")
        .with("RESUME_PATH", "/nowhere/resume.pdf")
        .with("PORT", "99999")
        .with("MAX_CONTEXT_TOKENS", "many")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "0")
        .with("IDLE_TIMEOUT", "soon")
        .with("LOG_LEVEL", "loud");
    let told = owner.refusal().await;
    names(&told, &["8 settings are at fault", "OPENROUTER_API_KEY", "DATABASE_URL", "RESUME_PATH", "PORT"]);
    names(&told, &["MAX_CONTEXT_TOKENS", "RATE_LIMIT_REQUESTS_PER_MINUTE", "IDLE_TIMEOUT", "LOG_LEVEL"]);
    names(&told, &["99999", "many", "/nowhere/resume.pdf", "loud", "from 0 to 65535", "mysql"]);
    assert_eq!(told.matches("given:").count(), 8, "{told}");
    assert_eq!(told.matches("accepted:").count(), 8, "{told}");
    for secret in ["marker", "verysecret", "password", "optionmarker"] {
        let shown = told.lines().filter(|line| !line.contains("accepted:"));
        assert!(shown.into_iter().all(|line| !line.contains(secret)), "{secret} is in:\n{told}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    for none in ["", "   ", "your-api-key-here", "sk-or-v1-xxxxxxxxxxxx", "changeme", "<your key>"] {
        let told = Owner::new().with("OPENROUTER_API_KEY", none).refusal().await;
        names(&told, &["one setting is at fault", "OPENROUTER_API_KEY", "https://openrouter.ai/keys"]);
    }
    // A server of one's own may need none.
    let own = Owner::new().with("OPENROUTER_API_KEY", "").with("LLM_BASE_URL", "http://127.0.0.1:9/v1");
    let checked = own.run(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_resume_that_cannot_be_talked_about_is_refused() {
    let owner = Owner::new();
    let (empty, blank) = (owner.file("empty.md", ""), owner.file("blank.md", " \n\t\n"));
    let broken = owner.file("broken.pdf", "%PDF-1.7 and nothing more");
    let missing = owner.folder.path().join("missing.md").display().to_string();
    let folder = owner.folder.path().display().to_string();
    let mut owner = owner;
    for path in ["", &missing, &empty, &blank, &broken, &folder] {
        owner = owner.with("RESUME_PATH", path);
        let told = owner.refusal().await;
        names(&told, &["RESUME_PATH"]);
        assert!(path.is_empty() || told.contains(path), "{path} is not in:\n{told}");
    }
    let long = owner.file("long.md", &format!("# Ada\n\n## Work\n\n{}", "- built a bridge\n".repeat(3000)));
    let told = owner.with("RESUME_PATH", &long).refusal().await;
    names(&told, &["tokens", "MAX_CONTEXT_TOKENS = 8000", "MAX_RESPONSE_TOKENS"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Owner::new().with("PORT", &port).run(&["serve"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let told = output.stderr.lines().last().unwrap_or_default();
    names(told, &[&format!("port {port}"), "127.0.0.1", "taken", "PORT"]);
}

#[tokio::test]
async fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let owner = Owner::new().with("RATE_LIMIT_REQUESTS_PER_MINUTE", "3");
    let text = "rate_limit_requests_per_minute = 7\nllm_model = \"from/file\"\nidle_timeout = \"11m\"\n";
    let file = owner.file("chat.toml", text);
    let output = owner.run(&["check", "--config", &file]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let value = |name: &str| {
        let line = output.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_default().to_owned()
    };
    assert_eq!(value("RATE_LIMIT_REQUESTS_PER_MINUTE"), "3");
    assert_eq!((value("LLM_MODEL"), value("IDLE_TIMEOUT")), ("from/file".to_owned(), "11m".to_owned()));
    assert_eq!(value("MAX_CONTEXT_TOKENS"), "8000");

    let file = owner.file("wrong.toml", "rate_limit_request_per_minute = 7\n");
    let output = owner.run(&["serve", "--config", &file]).await;
    assert_eq!(output.code, REFUSED, "{output:?}");
    names(&output.stderr, &["rate_limit_request_per_minute", "rate_limit_requests_per_minute", &file]);
    let output = owner.run(&["serve", "--config", "/nowhere/chat.toml"]).await;
    assert_eq!(output.code, REFUSED, "{output:?}");
    names(&output.stderr, &["--config", "/nowhere/chat.toml"]);
}

#[tokio::test]
async fn check_shows_what_would_be_served_and_changes_nothing() {
    let owner = Owner::new();
    let output = owner.run(&["check"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    names(
        &output.stdout,
        &["OPENROUTER_API_KEY", "a4b5", "Resume of Ada Example", "Experience", "Education"],
    );
    let pending = format!("connected, pending migrations: {} ", migrations(Store::Sqlite).len());
    names(&output.stdout, &["tokens", "% of the context window", &pending]);
    assert!(!output.stdout.contains("sk-or-v1-0a1b"), "{output:?}");
    assert_eq!(owner.run(&["migrate"]).await.code, Some(0));
    names(&owner.run(&["check"]).await.stdout, &["connected, up to date"]);

    let away = owner.with("DATABASE_URL", "postgres://ada:passwordmarker@127.0.0.1:9/chat");
    let output = away.run(&["check"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    names(&output.stderr, &["Database"]);
    assert!(!format!("{output:?}").contains("passwordmarker"), "{output:?}");
}

#[tokio::test]
async fn migrating_twice_does_nothing_the_second_time() {
    let owner = Owner::new();
    let applied = async || {
        let output = owner.run(&["migrate"]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        let line: serde_json::Value = serde_json::from_str(output.stderr.trim()).unwrap();
        line["applied"].as_str().unwrap_or("?").to_owned()
    };
    assert!(!applied().await.is_empty());
    assert_eq!(applied().await, "");
}

#[tokio::test]
async fn the_database_urls_of_python_deployments_are_understood() {
    let owner = Owner::new();
    let file = owner.folder.path().join("python.db");
    let owner = owner.with("DATABASE_URL", &format!("sqlite+aiosqlite:///{}", file.display()));
    assert_eq!(owner.run(&["migrate"]).await.code, Some(0));
    assert!(file.exists());
    let name = format!("{}::the_database_urls_of_python_deployments", module_path!());
    let Some(store) = Store::Postgres.fresh_for(&name).await else { return };
    let mut owner = owner;
    for scheme in ["postgresql://", "postgresql+asyncpg://", "postgresql+psycopg://"] {
        owner = owner.with("DATABASE_URL", &store.url().replacen("postgres://", scheme, 1));
        let output = owner.run(&["check"]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        names(&output.stdout, &["connected"]);
    }
}

#[tokio::test]
async fn the_demo_needs_nothing_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let config = ServerConfig::demo()
        .with("TMPDIR", temporary.path().display())
        .with("DATABASE_URL", "mysql://nobody/reads/this")
        .with("OPENROUTER_API_KEY", "changeme");
    let mut server = Server::start(config).await;
    let entries = || fs::read_dir(temporary.path()).unwrap().map(|it| it.unwrap().path());
    let folders: Vec<_> = entries().collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    assert!(folders[0].join("demo.db").exists());

    let mut visitor = ChatClient::connect(&server).await;
    let session = visitor.start().await;
    assert_eq!(
        (&session.frame["mode"], &session.frame["resume"]["name"]),
        (&"excerpts".into(), &"Mara Lindqvist".into())
    );
    assert!(session.frame["suggestions"].as_array().is_some_and(|it| !it.is_empty()));
    let answer = visitor.ask_and_hear("What did she do at Fjordline Freight?").await;
    assert_eq!((answer.status(), &answer.done["mode"]), ("complete", &"excerpts".into()));
    names(&answer.text, &["> ", "Fjordline Freight", "tracking pipeline"]);
    assert!(answer.done["citations"].to_string().contains("Fjordline Freight"), "{}", answer.done);
    let answer = visitor.ask_and_hear("What is the capital of Peru?").await;
    names(&answer.text, &["does not seem to answer that", "- Experience"]);
    assert_eq!((answer.status(), answer.done["citations"].to_string().as_str()), ("complete", "[]"));
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    assert_eq!(entries().count(), 0);
}

#[tokio::test]
async fn the_port_that_is_set_is_the_one_that_is_served() {
    let mut server = Server::start(ServerConfig::demo()).await;
    let before = server.address();
    server.restart_on_the_same_port().await;
    assert_eq!(server.address(), before);
    assert!(server.stdout().join("\n").contains(&format!("http://{before}")));
}

#[tokio::test]
async fn every_setting_has_a_comment_in_the_file_of_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut keys = Vec::new();
    for (before, line) in lines.iter().zip(&lines[1..]) {
        if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let said = before.starts_with("# ") && !before.starts_with("# ---");
            assert!(said || before.contains(" = "), "{key} has no comment");
            assert!(said, "{key} shares its comment with another");
            keys.push(key.trim().to_uppercase());
        }
    }
    let checked = Owner::new().run(&["check"]).await;
    let shown = checked.stdout.lines().skip(1).take_while(|line| !line.is_empty());
    let shown: Vec<&str> = shown.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(keys, shown);
}

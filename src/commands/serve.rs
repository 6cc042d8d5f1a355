//! `serve` and `demo`: run the server with the owner's resume or with a sample.

use std::path::Path;
use std::sync::Arc;

use resume_chatbot::app::shutdown::ExitReason;
use resume_chatbot::app::startup::{AnswerSource, Application, BuildInput};
use resume_chatbot::domain::component::Component;
use resume_chatbot::http::widget_snippet;
use resume_chatbot::llm::prompt::system_prompt::SystemPrompt;
use resume_chatbot::resume;
use resume_chatbot::resume::Document;
use resume_chatbot::settings::{LoadedSettings, Purpose, Settings};
use resume_chatbot::system::panics::catch_panic;
use resume_chatbot::telemetry::logger;
use resume_chatbot::telemetry::metrics::Metrics;
use resume_chatbot::tokens::TokenCounter;
use slog::{info, warn};

use super::migrate::migrate_database;
use super::output::print;
use super::{CliError, CliResult, EXIT_INTERRUPTED, EXIT_SOFTWARE, load_settings};

const SAMPLE_RESUME: &str = include_str!("../../examples/resumes/sample.md");

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Migration {
    Apply,
    Skip,
}

pub(super) fn serve(config: Option<&Path>, migration: Migration) -> CliResult {
    let loaded = load_settings(&Purpose::Serve, config)?;
    let resume = read_resume(&loaded.settings)?;
    run_server(&loaded, &resume, AnswerSource::Model, migration)
}

pub(super) fn demo(config: Option<&Path>) -> CliResult {
    let folder = tempfile::Builder::new()
        .prefix("resume-chatbot-demo-")
        .tempdir()
        .map_err(|error| CliError::failure(format!("cannot create a temporary folder: {error}")))?;
    let purpose = Purpose::Demo { database: folder.path().join("demo.db") };
    let loaded = load_settings(&purpose, config)?;
    let sample_path = folder.path().join("sample.md");
    std::fs::write(&sample_path, SAMPLE_RESUME)
        .map_err(|error| CliError::failure(format!("cannot write the sample resume: {error}")))?;
    let resume = resume::load(&sample_path)
        .map_err(|error| CliError::failure(format!("cannot read the sample resume: {error}")))?;
    run_server(&loaded, &resume, AnswerSource::Excerpts, Migration::Apply)
}

pub(super) fn read_resume(settings: &Settings) -> CliResult<Document> {
    let path = settings.resume.path.as_deref().unwrap_or(Path::new(""));
    resume::load(path).map_err(|error| CliError::config(format!("RESUME_PATH ({}): {error}", path.display())))
}

/// Builds the system prompt. Fails with a settings error if the resume is too long.
pub(super) fn build_system_prompt(resume: &Document, settings: &Settings) -> CliResult<SystemPrompt> {
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    SystemPrompt::new(resume, &settings.tokens, counter).map_err(CliError::config)
}

fn run_server(
    loaded: &LoadedSettings,
    resume: &Document,
    source: AnswerSource,
    migration: Migration,
) -> CliResult {
    let settings = &loaded.settings;
    // Before anything is started or written, because it fails if the settings do not fit the
    // resume.
    let system_prompt = build_system_prompt(resume, settings)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&(&settings.log).into(), &metrics);
    let log = &logging.root;
    for warning in &loaded.warnings {
        warn!(log, "{}", warning);
    }
    if migration == Migration::Apply {
        migrate_database(&settings.database.url, log)?;
    }
    serve_until_signal(BuildInput { settings, resume, system_prompt, source, metrics: &metrics, log })
}

fn serve_until_signal(input: BuildInput<'_>) -> CliResult {
    let (log, shutdown_timeout) = (input.log.clone(), input.settings.process.shutdown_timeout);
    let name = input.resume.name.clone();
    let public_url = input.settings.http.public_url.clone();
    actix::System::new().block_on(async {
        let application = Application::build(input).map_err(CliError::failure)?;
        application.check_key().await.map_err(CliError::config)?;
        application.discover_server();
        info!(log, "listening"; "address" => %application.address);
        let local_url = format!("http://{}", application.address);
        let base_url = public_url.map_or_else(|| format!("{local_url}/"), |url| url.to_string());
        print(&format!("Chat about {name} at {local_url}\nFor your pages: {}\n", widget_snippet(&base_url)))?;
        let result = catch_panic(Component::Other, application.run(shutdown_timeout))
            .await
            .map_err(|panic| CliError::new(EXIT_SOFTWARE, format!("the server panicked: {panic}")))?;
        match result {
            Ok(ExitReason::Graceful) => Ok(()),
            Ok(ExitReason::Forced) => Err(CliError::new(EXIT_INTERRUPTED, "ended by a second signal")),
            Ok(ExitReason::RestartLimit(component)) => Err(CliError::new(
                EXIT_SOFTWARE,
                format!("{} panicked too often; the log has the locations", component.as_str()),
            )),
            Err(error) => Err(CliError::failure(format!("the server failed: {error}"))),
        }
    })
}

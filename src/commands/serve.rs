//! `serve` and `demo`: the server itself, with one's own resume or with the sample.

use std::path::Path;
use std::sync::Arc;

use resume_chatbot::app::shutdown::ExitReason;
use resume_chatbot::app::startup::{AnswerSource, Application, BuildInput};
use resume_chatbot::domain::component::Component;
use resume_chatbot::llm::prompt::system_prompt::SystemPrompt;
use resume_chatbot::resume;
use resume_chatbot::resume::Document;
use resume_chatbot::settings::{Purpose, Settings};
use resume_chatbot::supervision::caught;
use resume_chatbot::telemetry::logger;
use resume_chatbot::telemetry::metrics::Metrics;
use resume_chatbot::tokens::TokenCounter;
use slog::{Logger, info, warn};

use super::migrate::bring_up_to_date;
use super::page::print;
use super::{EX_CONFIG, EX_SOFTWARE, Failed, Outcome, load};

/// The resume that `demo` talks about.
const SAMPLE: &str = include_str!("../../examples/resumes/sample.md");

pub(super) fn serve(config: Option<&Path>, migrating: bool) -> Outcome {
    let loaded = load(&Purpose::Serve, config)?;
    let resume = read_resume(&loaded.settings)?;
    let instructions = instructions(&resume, &loaded.settings)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&loaded.settings.log, &metrics);
    warn_about(&loaded.warnings, &logging.root);
    if migrating {
        bring_up_to_date(&loaded.settings.database.url, &logging.root)?;
    }
    serve_until_signal(BuildInput {
        settings: &loaded.settings,
        resume: &resume,
        system_prompt: instructions,
        source: AnswerSource::Model,
        metrics: &metrics,
        log: &logging.root,
    })
}

pub(super) fn demo(config: Option<&Path>) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("resume-chatbot-demo-")
        .tempdir()
        .map_err(|error| Failed(1, format!("no temporary folder could be made: {error}")))?;
    let purpose = Purpose::Demo { database: folder.path().join("demo.db") };
    let loaded = load(&purpose, config)?;
    let sample = folder.path().join("sample.md");
    std::fs::write(&sample, SAMPLE)
        .map_err(|error| Failed(1, format!("the sample cannot be written: {error}")))?;
    let resume =
        resume::load(&sample).map_err(|error| Failed(1, format!("the sample cannot be read: {error}")))?;
    let instructions = instructions(&resume, &loaded.settings)?;
    let metrics = Arc::new(Metrics::default());
    let logging = logger::start(&loaded.settings.log, &metrics);
    warn_about(&loaded.warnings, &logging.root);
    bring_up_to_date(&loaded.settings.database.url, &logging.root)?;
    serve_until_signal(BuildInput {
        settings: &loaded.settings,
        resume: &resume,
        system_prompt: instructions,
        source: AnswerSource::Excerpts,
        metrics: &metrics,
        log: &logging.root,
    })
}

pub(super) fn read_resume(settings: &Settings) -> Result<Document, Failed> {
    let path = settings.resume.as_ref().map(|it| it.path.as_path()).unwrap_or(Path::new(""));
    resume::load(path)
        .map_err(|error| Failed(EX_CONFIG, format!("RESUME_PATH ({}): {error}", path.display())))
}

/// Before anything is touched: a resume that does not fit is a fault of the settings.
pub(super) fn instructions(resume: &Document, settings: &Settings) -> Result<SystemPrompt, Failed> {
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    SystemPrompt::new(resume, &settings.tokens, counter).map_err(|error| Failed(EX_CONFIG, error.to_string()))
}

fn warn_about(warnings: &[String], log: &Logger) {
    for warning in warnings {
        warn!(log, "{}", warning);
    }
}

fn serve_until_signal(input: BuildInput<'_>) -> Outcome {
    let (log, shutdown_timeout) = (input.log.clone(), input.settings.shutdown_timeout);
    let name = input.resume.name.clone();
    actix::System::new().block_on(async {
        let application = Application::build(input).map_err(|error| Failed(1, error.to_string()))?;
        application.check_key().await.map_err(|error| Failed(EX_CONFIG, error.to_string()))?;
        info!(log, "listening"; "address" => %application.address);
        print(&format!("Chat about {name} at http://{}\n", application.address))?;
        let run = caught(Component::Other, application.run(shutdown_timeout)).await;
        match run.map_err(|panic| Failed(EX_SOFTWARE, format!("the server failed: {panic}")))? {
            Ok(ExitReason::Graceful) => Ok(()),
            Ok(ExitReason::Forced) => Err(Failed(130, "ended by a second signal".to_owned())),
            Ok(ExitReason::RestartLimit(component)) => {
                let component = component.as_str();
                Err(Failed(EX_SOFTWARE, format!("{component} panicked too often; see the log for where")))
            }
            Err(error) => Err(Failed(1, format!("the server failed: {error}"))),
        }
    })
}

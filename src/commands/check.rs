//! `check`: what would be served, without serving.

use std::path::Path;

use resume_chatbot::app::startup::StartupError;
use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::llm::upstream::api_key::KeyError;
use resume_chatbot::llm::upstream::client::UpstreamClient;
use resume_chatbot::persistence::db::migrations::inspect;
use resume_chatbot::resume::Document;
use resume_chatbot::settings::{Purpose, Settings};
use resume_chatbot::tokens::TokenCounter;

use super::page::print;
use super::serve::{instructions, read_resume};
use super::{EX_CONFIG, Failed, Outcome, load, runtime};

pub(super) fn check(config: Option<&Path>) -> Outcome {
    let loaded = load(&Purpose::Serve, config)?;
    let settings = &loaded.settings;
    let mut page = String::from("Settings\n");
    for (name, value) in settings.effective() {
        page.push_str(&format!("  {name:<34} {}\n", if value.is_empty() { "(unset)" } else { &value }));
    }
    for warning in &loaded.warnings {
        page.push_str(&format!("  warning: {warning}\n"));
    }
    print(&page)?;
    let resume = read_resume(settings)?;
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    print(&describe(&resume, settings, counter))?;
    instructions(&resume, settings)?;
    print(&key(settings)?)?;
    let url = settings.database.url.clone();
    let checked = runtime()?
        .block_on(async move { inspect(&url).await })
        .map_err(|it| Failed(1, format!("Database: {it}")))?;
    let pending = match checked.pending {
        0 => "up to date".to_owned(),
        count => format!("{count} migrations to apply (`serve` and `migrate` do so)"),
    };
    print(&format!("\nDatabase\n  {}: connected, {pending}\n", settings.database.url.masked()))
}

/// What the model's server says of the key; empty where it says nothing of keys.
fn key(settings: &Settings) -> Result<String, Failed> {
    let said = runtime()?.block_on(async {
        let client = UpstreamClient::new(&settings.llm).ok().filter(UpstreamClient::reports_costs)?;
        Some(client.key_report().await)
    });
    match said {
        None => Ok(String::new()),
        Some(Ok(report)) => Ok(format!("\nKey\n  valid: {}\n", report.outlook(Timestamp::now()))),
        Some(Err(KeyError::Refused)) => Err(Failed(EX_CONFIG, StartupError::KeyRejected.to_string())),
        Some(Err(error)) => Ok(format!("\nKey\n  warning: {error}\n")),
    }
}

fn describe(resume: &Document, settings: &Settings, counter: TokenCounter) -> String {
    let context = settings.tokens.max_context;
    let total = counter.count(&resume.to_markdown());
    let share = f64::from(total) * 100.0 / f64::from(context);
    let mut page = format!(
        "\nResume of {} (revision {})\n  {total} tokens, {share:.0} % of the context window\n",
        resume.name,
        resume.revision()
    );
    for section in &resume.sections {
        let indent = "  ".repeat(usize::from(section.level));
        page.push_str(&format!("  {indent}{} ({} tokens)\n", section.title, counter.count(&section.text)));
    }
    page
}

//! `check`: prints the settings, the resume, and the state of the API key and database.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use resume_chatbot::app::startup::StartupError;
use resume_chatbot::budget::{DailyCeiling, Prices};
use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::http::widget_snippet;
use resume_chatbot::llm::upstream::account::api_key::KeyError;
use resume_chatbot::llm::upstream::client::UpstreamClient;
use resume_chatbot::persistence::db::migrations::inspect;
use resume_chatbot::resume::Document;
use resume_chatbot::settings::{DatabaseUrl, LoadedSettings, Purpose, Settings};
use resume_chatbot::tokens::TokenCounter;

use super::output::print;
use super::serve::{build_system_prompt, read_resume};
use super::{CliError, CliResult, build_runtime, load_settings, model_server};

/// Prints each part before it checks the next one, so that an error follows the output of the
/// successful checks.
pub(super) fn check(config: Option<&Path>) -> CliResult {
    let loaded = load_settings(&Purpose::Serve, config)?;
    let settings = &loaded.settings;
    print(&describe_settings(&loaded))?;
    let resume = read_resume(settings)?;
    print(&describe_resume(&resume, settings))?;
    let system_prompt = build_system_prompt(&resume, settings)?;
    print(&describe_embedding(settings))?;
    print(&check_key(settings)?)?;
    let (server, prices) = check_model_server(settings, system_prompt.tokens())?;
    print(&server)?;
    print(&describe_budget(settings, prices))?;
    print(&check_database(&settings.database.url)?)
}

fn describe_settings(loaded: &LoadedSettings) -> String {
    let mut page = String::from("Settings\n");
    let effective = loaded.settings.effective();
    let width = effective.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    for (name, value) in &effective {
        let _ = writeln!(page, "  {name:<width$} {}", if value.is_empty() { "(unset)" } else { value });
    }
    for warning in &loaded.warnings {
        let _ = writeln!(page, "  warning: {warning}");
    }
    page
}

fn describe_resume(resume: &Document, settings: &Settings) -> String {
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    let tokens = counter.count(&resume.to_markdown());
    let percent = f64::from(tokens) * 100.0 / f64::from(settings.tokens.max_context);
    let (name, revision) = (&resume.name, resume.revision());
    let mut page = format!(
        "\nResume of {name} (revision {revision})\n  {tokens} tokens, {percent:.0} % of the context window\n"
    );
    for section in &resume.sections {
        let indent = "  ".repeat(usize::from(section.level));
        let _ = writeln!(page, "  {indent}{} ({} tokens)", section.title, counter.count(&section.text));
    }
    page
}

/// Shows the line that puts the chat on the owner's pages.
fn describe_embedding(settings: &Settings) -> String {
    let http = &settings.http;
    let (url, hint) = match &http.public_url {
        Some(url) => (url.to_string(), ""),
        None => (
            format!("http://{}/", SocketAddr::new(http.host, http.port)),
            "  Set PUBLIC_URL to the address that visitors use.\n",
        ),
    };
    let origins = if http.allowed_origins.is_empty() {
        "  Set ALLOWED_ORIGINS to the origins of these pages.\n"
    } else {
        ""
    };
    format!("\nFor your pages\n  {}\n{hint}{origins}", widget_snippet(&url))
}

/// Describes the most that a day can cost, by the prices of the owner or else of the model server.
fn describe_budget(settings: &Settings, server_prices: Option<Prices>) -> String {
    let prices = settings.budget.prices().or(server_prices);
    let ceiling = DailyCeiling::new(&settings.budget.policy(), prices);
    format!("\nBudget\n  {}\n", ceiling.parts().join("\n  "))
}

/// Describes the state of the API key. Returns an empty text if the model server does not report
/// it.
fn check_key(settings: &Settings) -> CliResult<String> {
    let report = build_runtime()?.block_on(async {
        let client = UpstreamClient::new(&settings.llm).ok().filter(UpstreamClient::reports_costs)?;
        Some(client.key_report().await)
    });
    match report {
        None => Ok(String::new()),
        Some(Ok(report)) => Ok(format!("\nKey\n  valid: {}\n", report.outlook(Timestamp::now()))),
        Some(Err(KeyError::Refused)) => Err(CliError::config(StartupError::KeyRejected)),
        Some(Err(error)) => Ok(format!("\nKey\n  warning: {error}\n")),
    }
}

/// Describes what the model server says about itself and the configured models, and returns its
/// prices.
fn check_model_server(settings: &Settings, system_tokens: u32) -> CliResult<(String, Option<Prices>)> {
    let client = UpstreamClient::new(&settings.llm).map_err(CliError::failure)?;
    let report = build_runtime()?.block_on(client.inquire());
    let mut page = format!("\nModel server\n  {}\n", report.describe());
    if let Some(failure) = &report.failure {
        let _ = writeln!(page, "  its list of models could not be read: {failure}");
    }
    for warning in model_server::warnings(&report, &settings.tokens, Some(system_tokens)) {
        let _ = writeln!(page, "  warning: {warning}");
    }
    Ok((page, report.prices()))
}

fn check_database(url: &DatabaseUrl) -> CliResult<String> {
    let state = build_runtime()?
        .block_on(inspect(url))
        .map_err(|error| CliError::failure(format!("Database: {error}")))?;
    let migrations = match state.pending {
        0 => "up to date".to_owned(),
        count => format!("pending migrations: {count} (`serve` and `migrate` apply them)"),
    };
    Ok(format!("\nDatabase\n  {}: connected, {migrations}\n", url.redacted()))
}

//! Asks the model server what it is, after the start and without delaying it.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, error, info, warn};

use crate::app::answers::log_ceiling;
use crate::app::startup::Application;
use crate::domain::component::Component;
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::llm::router::Router;
use crate::llm::upstream::server::report::ServerReport;
use crate::llm::upstream::server::state::ServerState;
use crate::llm::upstream::server::window::{TokenLimits, WindowFit, fit};
use crate::system::panics::catch_panic;

/// When the server is asked again, once, if it did not say everything. It may have been starting.
const REPEAT_AFTER: Duration = Duration::from_secs(10 * 60);

/// What the answers of the server are compared with.
#[derive(Clone)]
pub(crate) struct Discovery {
    pub(crate) router: Arc<Router>,
    pub(crate) system_prompt: Arc<SystemPrompt>,
    /// The configured limits.
    pub(crate) limits: TokenLimits,
    pub(crate) log: Logger,
}

impl Application {
    /// Asks the model server what it is, in the background: whether it has the configured models,
    /// their context windows and their prices. A server that does not say so is used all the same.
    pub fn discover_server(&self) {
        let discovery = self.discovery.clone();
        actix::spawn(async move {
            // A panic is recorded by its hook, and leaves the server undescribed.
            let _ = catch_panic(Component::Other, discovery.run()).await;
        });
    }
}

impl Discovery {
    async fn run(&self) {
        let Some(server) = self.router.server() else { return };
        let Some(first) = self.router.inquire().await else { return };
        self.record(server, &first);
        if !first.is_worth_repeating() {
            return;
        }
        tokio::time::sleep(REPEAT_AFTER).await;
        match self.router.inquire().await {
            Some(second) if second != first && second.failure.is_none() => self.record(server, &second),
            _ => {}
        }
    }

    fn record(&self, server: &ServerState, report: &ServerReport) {
        let told = report.context();
        let fitted = told.map_or(WindowFit::Fits, |told| fit(self.limits, told, self.system_prompt.tokens()));
        server.set_report(report.clone(), fitted);
        match &report.failure {
            Some(cause) => {
                info!(self.log, "model server does not list its models"; "server" => report.describe(),
                    "cause" => cause);
            }
            None => info!(self.log, "model server described itself"; "server" => report.describe()),
        }
        if let Some((budget, prices)) = self.router.budget().zip(report.prices())
            && budget.set_prices(prices)
        {
            log_ceiling(&self.log, budget);
        }
        for missing in report.missing() {
            warn!(self.log, "model not found at the model server"; "setting" => missing.setting,
                "model" => missing.name, "similar" => missing.nearest.join(", "));
        }
        self.log_window(told.unwrap_or_default(), fitted, report.is_window_assumed);
    }

    fn log_window(&self, told: u32, fitted: WindowFit, is_assumed: bool) {
        let configured = self.limits.context;
        match fitted {
            WindowFit::Fits if is_assumed => {
                info!(self.log, "context window of Ollama is unknown until it has loaded the model";
                    "configured_tokens" => configured,
                    "advice" => "start Ollama with OLLAMA_CONTEXT_LENGTH of at least MAX_CONTEXT_TOKENS");
            }
            WindowFit::Fits => {}
            WindowFit::Reduced(TokenLimits { context, response }) => {
                warn!(self.log, "prompts are limited to the context window of the model";
                    "configured_tokens" => configured, "window_tokens" => context,
                    "answer_tokens" => response);
            }
            WindowFit::TooSmall => {
                error!(self.log, "resume does not fit into the context window of the model";
                    "configured_tokens" => configured, "window_tokens" => told,
                    "resume_tokens" => self.system_prompt.tokens(),
                    "solution" => "enlarge the context window of the model server (Ollama: \
                        OLLAMA_CONTEXT_LENGTH), use another LLM_MODEL, or shorten the resume");
            }
        }
    }
}

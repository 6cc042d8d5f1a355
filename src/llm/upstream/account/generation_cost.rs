//! The cost of a request, which OpenRouter reports some seconds after its end: `GET /generation`.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::budget::{ReportedCost, RequestTokens};
use crate::llm::upstream::endpoint::{Endpoint, JsonGetError};

/// The maximum plausible cost of one request in US dollars. Reports above it are ignored.
pub(crate) const MAX_COST_DOLLARS: f64 = 1_000.0;

/// The maximum plausible number of tokens in the prompt or the completion of one request.
const MAX_TOKENS: u32 = 100_000_000;

/// Why a cost is not known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CostError {
    /// The server has no record of the request, or no cost yet.
    #[error("the server does not know the cost (404)")]
    NotFound,
    /// The server did not respond, or not with a cost.
    #[error("the cost is unknown: {reason}")]
    Unavailable {
        reason: String,
        /// How long the server asks clients to wait.
        retry_after: Option<Duration>,
    },
}

#[derive(Deserialize)]
struct CostResponse {
    data: GenerationReport,
}

#[derive(Deserialize)]
struct GenerationReport {
    /// The id of the request, if the report contains it.
    id: Option<String>,
    total_cost: f64,
    /// Tokens by the model's own count, which is what is charged.
    native_tokens_prompt: Option<u32>,
    native_tokens_completion: Option<u32>,
    tokens_prompt: Option<u32>,
    tokens_completion: Option<u32>,
}

/// Reads the cost of the request whose response has this upstream id.
pub(crate) async fn fetch(endpoint: &Endpoint, upstream_id: &str) -> Result<ReportedCost, CostError> {
    let report = match endpoint.get_json("generation", &[("id", upstream_id)]).await {
        Ok(CostResponse { data }) => data,
        Err(JsonGetError::Status { status: 404, .. }) => return Err(CostError::NotFound),
        Err(error) => {
            let retry_after = match error {
                JsonGetError::Status { retry_after, .. } => retry_after,
                JsonGetError::Failed(_) => None,
            };
            return Err(CostError::Unavailable { reason: error.to_string(), retry_after });
        }
    };
    let implausible = |reason: &str| CostError::Unavailable { reason: reason.to_owned(), retry_after: None };
    if report.id.is_some_and(|id| id != upstream_id) {
        return Err(implausible("the report is about another request"));
    }
    if !(0.0..=MAX_COST_DOLLARS).contains(&report.total_cost) {
        return Err(implausible("the cost is out of range"));
    }
    let native = report.native_tokens_prompt.zip(report.native_tokens_completion);
    let tokens = native.or(report.tokens_prompt.zip(report.tokens_completion));
    let tokens = tokens
        .map(|(prompt, completion)| RequestTokens { prompt, completion })
        .filter(|tokens| tokens.prompt.max(tokens.completion) <= MAX_TOKENS);
    Ok(ReportedCost { tokens, dollars: report.total_cost })
}

//! What OpenRouter says that a request has cost, some seconds after its end: `GET /generation`.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::budget::TrueCost;
use crate::llm::upstream::client::UpstreamClient;
use crate::llm::upstream::endpoint::LookUpError;

/// Why a cost is not known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CostError {
    /// The server does not know it yet, or never will.
    #[error("it is not known there (404)")]
    NotThere,
    /// The server did not say.
    #[error("the server does not tell: {why}")]
    Untold {
        /// Why not.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
}

#[derive(Deserialize)]
struct Body {
    data: Told,
}

/// No single request costs as much, in US dollars; what names more is no cost.
pub(crate) const MOST_DOLLARS: f64 = 1_000.0;

#[derive(Deserialize)]
struct Told {
    /// Which request it is about, where it says.
    id: Option<String>,
    total_cost: f64,
    /// As the model itself counts, which is what is charged.
    native_tokens_prompt: Option<u32>,
    native_tokens_completion: Option<u32>,
    tokens_prompt: Option<u32>,
    tokens_completion: Option<u32>,
}

impl UpstreamClient {
    /// Whether the server tells afterwards what a request cost.
    #[must_use]
    pub fn tells_costs(&self) -> bool {
        self.knows_keys()
    }

    /// Asks what a request cost that the server calls so.
    ///
    /// # Errors
    /// [`CostError`].
    pub async fn cost(&self, source_id: &str) -> Result<TrueCost, CostError> {
        let told = match self.look_up("generation", &[("id", source_id)]).await {
            Ok(Body { data }) => data,
            Err(LookUpError::Status { status: 404, .. }) => return Err(CostError::NotThere),
            Err(error) => {
                let retry_after = match error {
                    LookUpError::Status { retry_after, .. } => retry_after,
                    LookUpError::Failed(_) => None,
                };
                return Err(CostError::Untold { why: error.to_string(), retry_after });
            }
        };
        let odd = |why: &str| CostError::Untold { why: why.to_owned(), retry_after: None };
        if told.id.is_some_and(|id| id != source_id) {
            return Err(odd("it answers about another request"));
        }
        if !(0.0..=MOST_DOLLARS).contains(&told.total_cost) {
            return Err(odd("its cost is no amount"));
        }
        let native = told.native_tokens_prompt.zip(told.native_tokens_completion);
        let tokens = native.or(told.tokens_prompt.zip(told.tokens_completion));
        Ok(TrueCost { tokens, dollars: told.total_cost })
    }
}

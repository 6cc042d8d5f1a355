//! What OpenRouter says of the key: whether it is one, and how far its credit goes. Asking costs nothing.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::domain::clock::Timestamp;
use crate::llm::upstream::client::UpstreamClient;
use crate::llm::upstream::endpoint::LookUpError;

/// The shortest time a pace is taken from: right after midnight a single answer would make a steep one.
const SHORTEST_DAY: Duration = Duration::from_secs(15 * 60);

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct KeyReport {
    /// US dollars that the key may still spend; `None` when it has no limit of its own.
    #[serde(default)]
    pub limit_remaining: Option<f64>,
    /// US dollars spent since midnight in UTC.
    #[serde(default)]
    pub usage_daily: Option<f64>,
}

/// Why nothing is known of a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The server does not take it.
    #[error("the key is refused (401)")]
    Refused,
    /// The server did not say.
    #[error("the server does not tell: {0}")]
    Unknown(String),
}

#[derive(Deserialize)]
struct Body {
    data: KeyReport,
}

impl KeyReport {
    /// How far the credit goes, in a few words for the operator.
    #[must_use]
    pub fn outlook(&self, now: Timestamp) -> String {
        let today = self.usage_daily.unwrap_or_default();
        let Some(left) = self.limit_remaining else {
            return format!("no limit, ${today:.2} spent today");
        };
        let hours = now.time_of_day().max(SHORTEST_DAY).as_secs_f64() / 3600.0;
        if today > 0.0 && left > 0.0 {
            format!("${left:.2} left, for {:.0} h at today's pace", left / (today / hours))
        } else {
            format!("${left:.2} left, ${today:.2} spent today")
        }
    }
}

impl UpstreamClient {
    /// Whether the server says anything of keys.
    #[must_use]
    pub fn knows_keys(&self) -> bool {
        self.openrouter && self.api_key.is_some()
    }

    /// Asks what is known of the key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn key(&self) -> Result<KeyReport, KeyError> {
        match self.look_up("key", &[]).await {
            Ok(Body { data }) => Ok(data),
            Err(LookUpError::Status { status: 401, .. }) => Err(KeyError::Refused),
            Err(error) => Err(KeyError::Unknown(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outlook_is_what_is_left_and_for_how_long() {
        // 06:00 in UTC.
        let now = Timestamp(6 * 3_600_000);
        for (left, today, outlook) in [
            (Some(3.0), Some(0.6), "$3.00 left, for 30 h at today's pace"),
            (Some(3.0), Some(0.0), "$3.00 left, $0.00 spent today"),
            (Some(-0.5), Some(1.0), "$-0.50 left, $1.00 spent today"),
            (None, Some(0.25), "no limit, $0.25 spent today"),
            (None, None, "no limit, $0.00 spent today"),
        ] {
            let report = KeyReport { limit_remaining: left, usage_daily: today };
            assert_eq!(report.outlook(now), outlook);
        }
        let report = KeyReport { limit_remaining: Some(1.0), usage_daily: Some(0.01) };
        assert_eq!(report.outlook(Timestamp(1000)), "$1.00 left, for 25 h at today's pace");
    }
}

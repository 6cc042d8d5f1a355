//! The state of the OpenRouter API key: whether it is valid and how much credit is left. Reading it
//! is free of charge.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::domain::clock::Timestamp;
use crate::llm::upstream::endpoint::{Endpoint, JsonGetError};

/// The shortest time over which the spending rate is computed: right after midnight a single answer
/// would imply a very high rate.
const MIN_RATE_PERIOD: Duration = Duration::from_secs(15 * 60);

/// The report about an API key.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct KeyReport {
    /// US dollars that the key may still spend; `None` if it has no limit of its own.
    #[serde(default)]
    pub limit_remaining: Option<f64>,
    /// US dollars spent since midnight (UTC).
    #[serde(default)]
    pub usage_daily: Option<f64>,
}

/// Why there is no report about an API key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The server rejects the key.
    #[error("the key is refused (401)")]
    Refused,
    /// The server did not respond, or not with a report.
    #[error("the state of the key is unknown: {0}")]
    Unknown(String),
}

#[derive(Deserialize)]
struct KeyResponse {
    data: KeyReport,
}

impl KeyReport {
    /// Describes the remaining credit for the operator.
    #[must_use]
    pub fn outlook(&self, now: Timestamp) -> String {
        let today = self.usage_daily.unwrap_or_default();
        let Some(left) = self.limit_remaining else {
            return format!("no limit, ${today:.2} spent today");
        };
        let hours = now.time_of_day().max(MIN_RATE_PERIOD).as_secs_f64() / 3600.0;
        if today > 0.0 && left > 0.0 {
            format!("${left:.2} left, for {:.0} h at today's pace", left / (today / hours))
        } else {
            format!("${left:.2} left, ${today:.2} spent today")
        }
    }
}

/// Reads the report about the endpoint's API key.
pub(crate) async fn fetch(endpoint: &Endpoint) -> Result<KeyReport, KeyError> {
    match endpoint.get_json("key", &[]).await {
        Ok(KeyResponse { data }) => Ok(data),
        Err(JsonGetError::Status { status: 401, .. }) => Err(KeyError::Refused),
        Err(error) => Err(KeyError::Unknown(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlook_names_the_remaining_credit_and_how_long_it_lasts() {
        // 06:00 (UTC).
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

//! Checks the API key at start-up and at regular intervals.

use std::sync::Arc;
use std::time::Duration;

use slog::{info, warn};
use tokio::time::timeout;

use crate::app::startup::{Application, StartupError};
use crate::domain::clock::Timestamp;
use crate::llm::upstream::account::api_key::KeyError;

/// How long start-up waits for the check. A slower upstream server does not delay the start.
const FIRST_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The interval between checks, so that a health report shows the remaining credit without a
/// request.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);

impl Application {
    /// Checks the API key if the upstream server reports on keys, and repeats the check at
    /// intervals.
    ///
    /// # Errors
    /// Returns [`StartupError::KeyRejected`] if the server rejects the key. A server that cannot be
    /// reached, or does not answer within a second, only causes a warning.
    pub async fn check_key(&self) -> Result<(), StartupError> {
        match timeout(FIRST_CHECK_TIMEOUT, self.router.refresh_key_report()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Err(KeyError::Refused))) => return Err(StartupError::KeyRejected),
            Ok(Some(Ok(report))) => {
                info!(self.log, "the key is valid"; "outlook" => report.outlook(Timestamp::now()));
            }
            Ok(Some(Err(error))) => warn!(self.log, "the key could not be checked"; "cause" => %error),
            Err(_) => warn!(self.log, "the key could not be checked"; "cause" => "no answer in time"),
        }
        let (router, log) = (Arc::clone(&self.router), self.log.clone());
        actix::spawn(async move {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                if let Some(Err(error)) = router.refresh_key_report().await {
                    warn!(log, "the key could not be checked"; "cause" => %error);
                }
            }
        });
        Ok(())
    }
}

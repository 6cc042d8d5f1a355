//! Control of the fail points in the server under test, and waiting for its metrics.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::http::get_url;
use crate::support::server::test_server::Server;
use crate::support::within;

/// Makes the fail point panic on its next `times` hits.
pub(crate) async fn panic_at(server: &Server, point: &str, times: u32) {
    let path = format!("/faults/{point}/{times}");
    let armed = get_url(server.operator_url(&path).await).await;
    assert_eq!(armed.status, 204, "the server is built without fail points: {armed:?}");
}

/// Makes tasks wait at this fail point until [`unpause`].
pub(crate) async fn pause_at(server: &Server, point: &str) {
    let paused = get_url(server.operator_url(&format!("/faults/{point}/hold")).await).await;
    assert_eq!(paused.status, 204, "{paused:?}");
}

/// Waits until a task waits at this fail point.
pub(crate) async fn wait_until_paused(server: &Server, point: &str) {
    let polling = async {
        let waiting_tasks = server.operator_url(&format!("/faults/{point}/lingering")).await;
        while get_url(waiting_tasks.clone()).await.body == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("a task to wait at {point}"), polling).await;
}

/// Lets the tasks at this fail point continue.
pub(crate) async fn unpause(server: &Server, point: &str) {
    let unpaused = get_url(server.operator_url(&format!("/faults/{point}/release")).await).await;
    assert_eq!(unpaused.status, 204, "{unpaused:?}");
}

/// Returns the value of a series. `series` is its name without `resume_chatbot_`.
pub(crate) async fn metric(server: &Server, series: &str) -> f64 {
    let scrape = get_url(server.operator_url("/metrics").await).await.body;
    let value = |line: &str| line.strip_prefix("resume_chatbot_")?.strip_prefix(series)?.trim().parse().ok();
    scrape.lines().find_map(value).unwrap_or_else(|| panic!("no {series} in {scrape}"))
}

/// Polls until a series has this value.
pub(crate) async fn wait_for_metric(server: &Server, series: &str, value: f64) {
    let polling = async {
        while metric(server, series).await != value {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(&format!("{series} to be {value}"), polling).await;
}

/// Returns whether a log entry reports a panic in this file.
pub(crate) fn panicked_at(entry: &Value, file: &str) -> bool {
    entry.get("at").and_then(Value::as_str).is_some_and(|at| at.starts_with(file))
}

//! Faults on order in the server under test, and what its metrics say of them.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::http::get_url;
use crate::support::server::test_server::Server;
use crate::support::within;

/// The next so many passes of this point (`src/faults.rs`) panic.
pub(crate) async fn arm(server: &Server, point: &str, times: u32) {
    let path = format!("/faults/{point}/{times}");
    let armed = get_url(server.operator_url(&path).await).await;
    assert_eq!(armed.status, 204, "the server under test has no faults on order: {armed:?}");
}

/// Whoever comes to this point waits there, until [`release`].
pub(crate) async fn hold(server: &Server, point: &str) {
    let held = get_url(server.operator_url(&format!("/faults/{point}/hold")).await).await;
    assert_eq!(held.status, 204, "{held:?}");
}

/// Waits until somebody is held up at this point.
pub(crate) async fn until_held(server: &Server, point: &str) {
    let reached = async {
        let lingering = server.operator_url(&format!("/faults/{point}/lingering")).await;
        while get_url(lingering.clone()).await.body == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("somebody to be held up at {point}"), reached).await;
}

/// Lets everybody at this point go on.
pub(crate) async fn release(server: &Server, point: &str) {
    let released = get_url(server.operator_url(&format!("/faults/{point}/release")).await).await;
    assert_eq!(released.status, 204, "{released:?}");
}

/// The value of a series, without `resume_chatbot_`.
pub(crate) async fn metric(server: &Server, series: &str) -> f64 {
    let scrape = get_url(server.operator_url("/metrics").await).await.body;
    let of_it = |line: &str| line.strip_prefix("resume_chatbot_")?.strip_prefix(series)?.trim().parse().ok();
    scrape.lines().find_map(of_it).unwrap_or_else(|| panic!("no {series} in {scrape}"))
}

/// Waits until a series has this value. Nobody is told of a change, so it is scraped again and again.
pub(crate) async fn until_metric(server: &Server, series: &str, value: f64) {
    let reached = async {
        while metric(server, series).await != value {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(&format!("{series} to be {value}"), reached).await;
}

/// Whether a line of the log says that it panicked in this file.
pub(crate) fn panicked_at(line: &Value, file: &str) -> bool {
    line.get("at").and_then(Value::as_str).is_some_and(|at| at.starts_with(file))
}

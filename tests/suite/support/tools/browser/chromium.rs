//! A headless Chromium, started and driven by chromedriver.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::preferences::{Preferences, Profile};
use super::process_group::{Output, ProcessGroup};
use super::webdriver::WebDriver;

/// Starts a browser with this chromedriver.
pub(super) async fn start(
    chromedriver: &Path,
    profile: &Profile,
    preferences: &Preferences,
) -> (ProcessGroup, WebDriver) {
    let (process, address) = start_driver(chromedriver, profile);
    let mut options = json!({ "args": arguments(profile, preferences) });
    if let Some(binary) = std::env::var_os("TEST_CHROMIUM").filter(|binary| !binary.is_empty()) {
        options["binary"] = Value::from(binary.to_string_lossy());
    }
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    (process, WebDriver::start(address, capabilities).await)
}

/// Starts chromedriver on a port of its own choice, so that tests do not race for one.
fn start_driver(path: &Path, profile: &Profile) -> (ProcessGroup, SocketAddr) {
    let configure = |command: &mut std::process::Command| {
        command.arg("--port=0");
        profile.apply(command);
    };
    let (process, mut lines) = ProcessGroup::start(path.as_os_str(), configure, Output::Stdout);
    let port = lines.find_map(|line| {
        let rest = line.split("successfully on port ").nth(1)?;
        rest.trim_end_matches('.').parse::<u16>().ok()
    });
    let port = port.unwrap_or_else(|| panic!("{path:?} ended before it printed its port"));
    (process, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn arguments(profile: &Profile, preferences: &Preferences) -> Vec<String> {
    let mut arguments = [
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
        // The sandbox does not run as root, as in a container. Tests open only trusted pages.
        "--no-sandbox",
        // Containers have little shared memory; a tab that needs more crashes.
        "--disable-dev-shm-usage",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
    arguments.push(format!("--lang={}", preferences.language));
    arguments.push(format!("--accept-lang={}", preferences.language));
    if preferences.dark {
        arguments.push("--force-dark-mode".to_owned());
    }
    if preferences.reduced_motion {
        arguments.push("--force-prefers-reduced-motion".to_owned());
    }
    arguments
}

/// Sets the size of the viewport of the current tab in CSS pixels, and the device pixels per CSS
/// pixel.
pub(super) async fn set_viewport(driver: &WebDriver, width: u32, height: u32, ratio: f64) {
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": ratio, "mobile": false });
    let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
    driver.post("/goog/cdp/execute", command).await;
}

/// Disconnects the current tab from the network, or connects it again.
pub(super) async fn set_offline(driver: &WebDriver, offline: bool) {
    let conditions =
        json!({ "offline": offline, "latency": 0, "download_throughput": -1, "upload_throughput": -1 });
    driver.post("/chromium/network_conditions", json!({ "network_conditions": conditions })).await;
}

/// Returns the new warnings and errors in the console.
pub(super) async fn console_problems(driver: &WebDriver) -> Vec<String> {
    let entries = driver.post("/se/log", json!({ "type": "browser" })).await;
    let is_problem =
        |entry: &&Value| matches!(entry.get("level").and_then(Value::as_str), Some("SEVERE" | "WARNING"));
    entries.as_array().into_iter().flatten().filter(is_problem).map(ToString::to_string).collect()
}

//! A headless Firefox, started and driven without a driver program.

use std::path::Path;
use std::process::Command;

use super::bidi::Bidi;
use super::preferences::{Preferences, Profile};
use super::process_group::{Output, ProcessGroup};

/// Preferences against traffic and processes that no page has asked for. A browser that is controlled
/// remotely sets many more by itself. The proxy does not exist; loopback addresses do not use it.
const QUIET: &str = r#"
user_pref("app.normandy.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
user_pref("dom.push.connection.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("toolkit.cosmeticAnimations.enabled", false);
"#;

/// Starts a browser with this program.
pub(super) async fn start(
    firefox: &Path,
    profile: &Profile,
    preferences: &Preferences,
) -> (ProcessGroup, Bidi) {
    let scheme = if preferences.dark { 0 } else { 1 };
    let reduced_motion = u8::from(preferences.reduced_motion);
    let visitor = format!(
        "user_pref(\"intl.accept_languages\", \"{}\");\n\
         user_pref(\"layout.css.prefers-color-scheme.content-override\", {scheme});\n\
         user_pref(\"ui.prefersReducedMotion\", {reduced_motion});\n",
        preferences.language
    );
    profile.write("profile/user.js", &format!("{QUIET}{visitor}"));
    let configure = |command: &mut Command| {
        command.args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"]);
        command.arg(profile.path().join("profile")).arg("about:blank");
        profile.apply(command);
        // Its process would leave the group.
        command.env("MOZ_CRASHREPORTER_DISABLE", "1");
    };
    let (process, mut lines) = ProcessGroup::start(firefox.as_os_str(), configure, Output::Stderr);
    let url = lines.find_map(|line| Some(line.split_once("WebDriver BiDi listening on ")?.1.to_owned()));
    let url = url.unwrap_or_else(|| panic!("{firefox:?} ended before it printed its address"));
    // A full pipe would block the browser.
    std::thread::spawn(move || lines.for_each(drop));
    (process, Bidi::connect(&url).await)
}

//! WebKitGTK's MiniBrowser, started and driven by WebKitWebDriver. It needs an X server, which is
//! virtual.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::page_functions::evaluation;
use super::preferences::{Preferences, Profile};
use super::process_group::{Output, ProcessGroup};
use super::webdriver::{WebDriver, is_ready};

/// The deadline for the driver to listen.
const START: Duration = Duration::from_secs(20);

/// The polling interval for the driver. It prints nothing when it listens.
const POLL: Duration = Duration::from_millis(20);

/// The ports to try. The driver cannot choose one itself, and the system hands out the ports above
/// 32768 to everybody else.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Without it, the window of MiniBrowser cannot become smaller than its toolbar.
const STYLE: &str =
    "* { min-width: 0; min-height: 0; padding: 0; margin: 0; border-width: 0; font-size: 1px; }\n";

/// The features of the window with the page. A popup has no toolbar.
const POPUP: &str = "popup,noopener,width=1280,height=800";

/// Collects problems from now on. The driver has no log.
const COLLECT_PROBLEMS: &str = r#"(() => {
  if (window.testProblems) return;
  window.testProblems = [];
  const add = (...words) => window.testProblems.push(words.map(String).join(" "));
  addEventListener("error", (event) => add("error:", event.message ?? event.target?.outerHTML), true);
  addEventListener("unhandledrejection", (event) => add("unhandled:", event.reason));
  addEventListener("securitypolicyviolation", (event) =>
    add("Content-Security-Policy:", event.effectiveDirective, "blocks", event.blockedURI));
  for (const level of ["error", "warn"]) {
    const write = console[level].bind(console);
    console[level] = (...words) => { add(`${level}:`, ...words); write(...words); };
  }
})()"#;

/// Starts a browser with this driver.
pub(super) async fn start(
    driver: &Path,
    xvfb: &Path,
    profile: &Profile,
    preferences: &Preferences,
) -> (Vec<ProcessGroup>, WebDriver) {
    let (screen, display) = start_screen(xvfb);
    write_settings(profile, preferences);
    let (process, address) = start_driver(driver, profile, preferences, &display).await;
    let mut arguments = vec!["--automation", "--javascript-can-open-windows-automatically=true"];
    if preferences.dark {
        arguments.push("--dark-mode");
    }
    let driver =
        WebDriver::start(address, json!({ "webkitgtk:browserOptions": { "args": arguments } })).await;
    open_popup(&driver).await;
    (vec![process, screen], driver)
}

/// Starts a virtual screen with a display number of its own choice.
fn start_screen(xvfb: &Path) -> (ProcessGroup, String) {
    let configure = |command: &mut Command| {
        command.args(["-displayfd", "1", "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]);
    };
    let (screen, mut lines) = ProcessGroup::start(xvfb.as_os_str(), configure, Output::Stdout);
    let number = lines.next().unwrap_or_else(|| panic!("{xvfb:?} ended before it printed its display"));
    (screen, format!(":{number}"))
}

/// Writes GTK's settings and a locale for the language. The C library accepts any name of a locale
/// whose directory exists, so none needs to be installed.
fn write_settings(profile: &Profile, preferences: &Preferences) {
    let animations = u8::from(!preferences.reduced_motion);
    let settings = format!("[Settings]\ngtk-enable-animations={animations}\n");
    profile.write(".config/gtk-3.0/settings.ini", &settings);
    profile.write(".config/gtk-3.0/gtk.css", STYLE);
    let locale = profile.path().join(locale(preferences));
    let source = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"].map(Path::new);
    let source = source.into_iter().find(|path| path.exists());
    let linked = source.map_or(Ok(()), |source| symlink(source, &locale));
    linked.unwrap_or_else(|error| panic!("could not create {locale:?}: {error}"));
}

/// Returns the name of the locale, such as `pt_BR.UTF-8`. A language needs a country.
fn locale(preferences: &Preferences) -> String {
    let (language, country) = match preferences.language.split_once('-') {
        Some((language, country)) => (language, country.to_owned()),
        None => (preferences.language, preferences.language.to_uppercase()),
    };
    format!("{language}_{country}.UTF-8")
}

async fn start_driver(
    path: &Path,
    profile: &Profile,
    preferences: &Preferences,
    display: &str,
) -> (ProcessGroup, SocketAddr) {
    let address = free_address();
    let locale = locale(preferences);
    let configure = |command: &mut Command| {
        command.arg("--host=127.0.0.1").arg(format!("--port={}", address.port()));
        profile.apply(command);
        let settings: [(&str, &OsStr); 5] = [
            ("DISPLAY", OsStr::new(display)),
            ("GDK_BACKEND", OsStr::new("x11")),
            ("LANG", OsStr::new(&locale)),
            ("LOCPATH", profile.path().as_os_str()),
            ("NO_AT_BRIDGE", OsStr::new("1")),
        ];
        command.envs(settings).env_remove("LC_ALL").env_remove("LANGUAGE").env_remove("WAYLAND_DISPLAY");
    };
    let (process, _) = ProcessGroup::start(path.as_os_str(), configure, Output::Discarded);
    let deadline = Instant::now() + START;
    while !is_ready(address).await {
        assert!(Instant::now() < deadline, "{path:?} does not listen at {address} after {START:?}");
        tokio::time::sleep(POLL).await;
    }
    (process, address)
}

fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test processes at the same time begin at different ports.
    let first = u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 12;
    let ports = (0..PORTS.end - PORTS.start).map(|_| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        PORTS.start + first.wrapping_add(number) % (PORTS.end - PORTS.start)
    });
    let mut addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    addresses.find(is_free).unwrap_or_else(|| panic!("no free port in {PORTS:?}"))
}

/// Opens the window for the page and switches to it.
async fn open_popup(driver: &WebDriver) {
    let first = driver.tabs().await;
    let open = format!("void window.open('about:blank', '_blank', '{POPUP}')");
    let opened = driver.evaluate(&evaluation(&open)).await;
    opened.unwrap_or_else(|error| panic!("MiniBrowser opened no popup: {error}"));
    let deadline = Instant::now() + START;
    let popup = loop {
        if let Some(popup) = driver.tabs().await.into_iter().find(|tab| !first.contains(tab)) {
            break popup;
        }
        assert!(Instant::now() < deadline, "MiniBrowser shows no popup after {START:?}");
        tokio::time::sleep(POLL).await;
    };
    driver.close_tab().await;
    driver.switch_to(&popup).await;
}

/// Sets the size of the window, which is the size of the viewport.
pub(super) async fn set_viewport(driver: &WebDriver, width: u32, height: u32) {
    driver.post("/window/rect", json!({ "width": width, "height": height })).await;
}

/// Collects problems of the page that happen from now on.
pub(super) async fn collect_problems(driver: &WebDriver) {
    let collecting = driver.evaluate(&evaluation(COLLECT_PROBLEMS)).await;
    collecting.unwrap_or_else(|error| panic!("could not collect problems: {error}"));
}

/// Returns the problems since the last call or the last load of the page.
pub(super) async fn console_problems(driver: &WebDriver) -> Vec<String> {
    let take = evaluation("(window.testProblems ?? []).splice(0)");
    let problems = driver.evaluate(&take).await.unwrap_or_else(|error| panic!("no problems: {error}"));
    problems.as_array().into_iter().flatten().map(ToString::to_string).collect()
}

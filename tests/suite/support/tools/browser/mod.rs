//! Real browsers: Chromium, Firefox and WebKit behind one type, with real input and new profiles.

mod axe;
mod bidi;
mod chromium;
mod firefox;
mod input;
mod kind;
mod page_functions;
mod preferences;
mod process_group;
#[allow(unused_macros, unused_imports, reason = "benchmarks use the test support and have no scenarios")]
pub(crate) mod scenario;
mod session;
mod webdriver;
mod webkit;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::lock;
pub(crate) use input::Key;
pub(crate) use kind::BrowserKind;
use kind::Programs;
pub(crate) use preferences::Preferences;
use preferences::Profile;
use process_group::ProcessGroup;
use session::Session;

/// The deadline for conditions on a page. Pages are slow on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The polling interval for conditions on a page. Not every protocol has events to wait for.
const POLL: Duration = Duration::from_millis(50);

/// A browser with a new profile. Dropping it ends all of its processes.
pub(crate) struct Browser {
    kind: BrowserKind,
    session: Session,
    /// The tabs in the order in which they were opened. In WebKit the first window is not used.
    tabs: Mutex<Vec<String>>,
    _processes: Vec<ProcessGroup>,
    /// Declared last: it must be removed after the processes that write to it have ended.
    _profile: Profile,
}

impl Browser {
    /// Starts a browser for a visitor with the default preferences.
    pub(crate) async fn start(kind: BrowserKind) -> Self {
        Self::start_with(kind, Preferences::default()).await
    }

    /// Starts a browser for a visitor with these preferences. The browser must be installed, as it
    /// is inside of a scenario.
    pub(crate) async fn start_with(kind: BrowserKind, preferences: Preferences) -> Self {
        let profile = Profile::new();
        let programs = kind.programs("a scenario");
        let (processes, session) = match programs.unwrap_or_else(|| panic!("{kind} is not installed")) {
            Programs::Chromium { chromedriver } => {
                let (process, driver) = chromium::start(&chromedriver, &profile, &preferences).await;
                (vec![process], Session::Chromium(driver))
            }
            Programs::Firefox { firefox } => {
                let (process, bidi) = firefox::start(&firefox, &profile, &preferences).await;
                (vec![process], Session::Firefox(Box::new(bidi)))
            }
            Programs::WebKit { driver, xvfb } => {
                let (processes, driver) = webkit::start(&driver, &xvfb, &profile, &preferences).await;
                (processes, Session::WebKit(driver))
            }
        };
        let tabs = Mutex::new(session.tabs().await);
        let browser = Self { kind, session, tabs, _processes: processes, _profile: profile };
        browser.set_viewport(1280, 800).await;
        browser
    }

    /// Returns which browser this is.
    pub(crate) const fn kind(&self) -> BrowserKind {
        self.kind
    }

    /// Opens a page in the current tab.
    pub(crate) async fn open(&self, url: &str) {
        self.session.navigate(url).await;
    }

    /// Reloads the page.
    pub(crate) async fn refresh(&self) {
        self.session.reload().await;
    }

    /// Evaluates a JavaScript expression, and awaits it if it is a promise. Elements and functions
    /// have no value.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        self.try_evaluate(expression)
            .await
            .unwrap_or_else(|error| panic!("{error}\nin {}", excerpt(expression)))
    }

    async fn try_evaluate(&self, expression: &str) -> Result<Value, String> {
        self.session.evaluate(&page_functions::evaluation(expression)).await
    }

    /// Polls until a JavaScript expression is true. On timeout it fails with the text of the page.
    pub(crate) async fn wait_until(&self, what: &str, expression: &str) {
        self.wait_until_within(TIMEOUT, what, expression).await;
    }

    /// Like [`Browser::wait_until`], with this deadline.
    pub(crate) async fn wait_until_within(&self, timeout: Duration, what: &str, expression: &str) {
        let deadline = Instant::now() + timeout;
        let mut poll = tokio::time::interval(POLL);
        loop {
            // A page that is being replaced cannot be asked.
            let last = self.try_evaluate(expression).await;
            if last == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > deadline {
                let page = self.try_evaluate("document.body.innerText").await;
                panic!(
                    "{}: timed out after {timeout:?} waiting for {what}; it was {last:?}; text of the page: {page:?}",
                    self.kind
                );
            }
            poll.tick().await;
        }
    }

    /// Returns an expression for the element at a path of CSS selectors. ` >>> ` enters an open
    /// shadow root: `resume-chat >>> button`.
    pub(crate) fn element(path: &str) -> String {
        page_functions::element(path)
    }

    /// Clicks the element at a path of CSS selectors with the pointer. It must not be covered.
    pub(crate) async fn click(&self, path: &str) {
        self.click_at(path, &page_functions::point_of_element(path)).await;
    }

    /// Clicks the visible button or link with this text or label, also inside of open shadow roots.
    pub(crate) async fn click_button(&self, label: &str) {
        self.click_at(label, &page_functions::point_of_button(label)).await;
    }

    async fn click_at(&self, what: &str, point: &str) {
        let point = self.try_evaluate(point).await;
        let point = point.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.kind));
        let coordinate = |name: &str| point.get(name).and_then(Value::as_i64).unwrap_or_default();
        self.session.perform(input::pointer_click(coordinate("x"), coordinate("y"))).await;
    }

    /// Presses a key.
    pub(crate) async fn press(&self, key: Key) {
        self.session.perform(input::key_press(key)).await;
    }

    /// Types text where the focus is. A line feed presses Enter.
    pub(crate) async fn type_text(&self, text: &str) {
        self.session.perform(input::typing(text)).await;
    }

    /// Clicks the element at a path of CSS selectors and types text into it. A line feed presses
    /// Enter.
    pub(crate) async fn type_into(&self, path: &str, text: &str) {
        self.click(path).await;
        self.type_text(text).await;
    }

    /// Sets the size of the viewport of the current tab in CSS pixels.
    pub(crate) async fn set_viewport(&self, width: u32, height: u32) {
        self.session.set_viewport(width, height, 1.0).await;
        let size = format!("innerWidth === {width} && innerHeight === {height}");
        self.wait_until("the size of the viewport", &size).await;
    }

    /// Sets the viewport of the current tab to a window of this size at a zoom level: a zoom of 200
    /// percent leaves the page half as many CSS pixels each way.
    pub(crate) async fn set_zoomed_viewport(&self, width: u32, height: u32, percent: u32) {
        let zoomed = |length: u32| length * 100 / percent;
        self.session.set_viewport(zoomed(width), zoomed(height), f64::from(percent) / 100.0).await;
        let size = format!("innerWidth === {} && innerHeight === {}", zoomed(width), zoomed(height));
        self.wait_until("the size of the viewport", &size).await;
    }

    /// Opens a page in another tab and switches to it.
    pub(crate) async fn open_tab(&self, url: &str) {
        let tab = self.session.open_tab().await;
        lock(&self.tabs).push(tab.clone());
        self.session.switch_to(&tab).await;
        self.open(url).await;
    }

    /// Switches to a tab by the order in which the tabs were opened, from 0.
    pub(crate) async fn switch_to_tab(&self, index: usize) {
        let tab = lock(&self.tabs).get(index).cloned();
        self.session.switch_to(&tab.unwrap_or_else(|| panic!("there is no tab {index}"))).await;
    }

    /// Waits for a tab that the page opens, and switches to it.
    pub(crate) async fn switch_to_new_tab(&self) {
        let deadline = Instant::now() + TIMEOUT;
        let mut poll = tokio::time::interval(POLL);
        loop {
            poll.tick().await;
            let tabs = self.session.tabs().await;
            let known = lock(&self.tabs).clone();
            if let Some(tab) = tabs.into_iter().find(|tab| !known.contains(tab)) {
                lock(&self.tabs).push(tab.clone());
                return self.session.switch_to(&tab).await;
            }
            assert!(Instant::now() < deadline, "the page opened no tab within {TIMEOUT:?}");
        }
    }

    /// Saves a picture of the viewport as a PNG file in the directory for pictures, and returns its
    /// path.
    pub(crate) async fn save_screenshot(&self, name: &str) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        let path = directory.join(format!("{name}-{}.png", self.kind.to_string().to_lowercase()));
        let png = self.screenshot().await;
        let saved = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, png));
        saved.unwrap_or_else(|error| panic!("could not write {path:?}: {error}"));
        path
    }

    /// Returns a picture of the viewport as PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let picture = self.session.screenshot().await;
        BASE64_STANDARD.decode(picture).unwrap_or_else(|error| panic!("the picture is no base64: {error}"))
    }

    /// Disconnects the current tab from the network, or connects it again. Not every browser can:
    /// see [`BrowserKind::can_go_offline`].
    pub(crate) async fn set_offline(&self, offline: bool) {
        self.session.set_offline(offline).await;
    }

    /// Returns the new warnings and errors in the console, such as failed requests and CSP
    /// violations. In WebKit only those of the page after it has loaded, without failed requests.
    pub(crate) async fn console_problems(&self) -> Vec<String> {
        self.session.console_problems().await
    }
}

/// Returns the beginning of an expression. Some contain a whole library.
fn excerpt(expression: &str) -> &str {
    const MAX_LENGTH: usize = 500;
    let end = (0..=MAX_LENGTH.min(expression.len())).rev().find(|end| expression.is_char_boundary(*end));
    expression.get(..end.unwrap_or(0)).unwrap_or_default()
}

//! The commands that both protocols have, for the browser that a session controls.

use serde_json::Value;

use super::bidi::Bidi;
use super::webdriver::WebDriver;
use super::{chromium, webkit};

/// A connection to a browser.
pub(super) enum Session {
    Chromium(WebDriver),
    Firefox(Box<Bidi>),
    WebKit(WebDriver),
}

/// Calls a method that both protocols have.
macro_rules! either {
    ($session:expr, $driver:ident => $call:expr) => {
        match $session {
            Session::Chromium($driver) | Session::WebKit($driver) => $call,
            Session::Firefox($driver) => $call,
        }
    };
}

impl Session {
    pub(super) async fn navigate(&self, url: &str) {
        either!(self, driver => driver.navigate(url).await);
        self.after_load().await;
    }

    pub(super) async fn reload(&self) {
        either!(self, driver => driver.reload().await);
        self.after_load().await;
    }

    async fn after_load(&self) {
        if let Self::WebKit(driver) = self {
            webkit::collect_problems(driver).await;
        }
    }

    pub(super) async fn evaluate(&self, evaluation: &str) -> Result<Value, String> {
        either!(self, driver => driver.evaluate(evaluation).await)
    }

    pub(super) async fn perform(&self, actions: Value) {
        either!(self, driver => driver.perform(actions).await);
    }

    pub(super) async fn screenshot(&self) -> String {
        either!(self, driver => driver.screenshot().await)
    }

    pub(super) async fn tabs(&self) -> Vec<String> {
        either!(self, driver => driver.tabs().await)
    }

    /// WebKit has no visible tabs in its popup, and performs no input in a hidden one.
    pub(super) async fn open_tab(&self) -> String {
        match self {
            Self::Chromium(driver) => driver.open_new("tab").await,
            Self::Firefox(bidi) => bidi.open_tab().await,
            Self::WebKit(driver) => driver.open_new("window").await,
        }
    }

    pub(super) async fn switch_to(&self, tab: &str) {
        either!(self, driver => driver.switch_to(tab).await);
    }

    /// WebKit has only its window to resize, and no ratio of pixels.
    pub(super) async fn set_viewport(&self, width: u32, height: u32, ratio: f64) {
        match self {
            Self::Chromium(driver) => chromium::set_viewport(driver, width, height, ratio).await,
            Self::Firefox(bidi) => bidi.set_viewport(width, height, ratio).await,
            Self::WebKit(driver) => webkit::set_viewport(driver, width, height).await,
        }
    }

    pub(super) async fn set_offline(&self, offline: bool) {
        match self {
            Self::Chromium(driver) => chromium::set_offline(driver, offline).await,
            Self::Firefox(bidi) => bidi.set_offline(offline).await,
            Self::WebKit(_) => panic!("WebKit cannot go offline; use a TCP proxy"),
        }
    }

    pub(super) async fn console_problems(&self) -> Vec<String> {
        match self {
            Self::Chromium(driver) => chromium::console_problems(driver).await,
            Self::Firefox(bidi) => bidi.console_problems().await,
            Self::WebKit(driver) => webkit::console_problems(driver).await,
        }
    }
}

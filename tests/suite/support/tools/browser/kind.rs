//! The browsers that tests run in.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use crate::support::tools::external_tools::path_from_env;

/// A browser engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrowserKind {
    /// Chromium, driven by chromedriver.
    Chromium,
    /// Firefox, driven over WebDriver BiDi.
    Firefox,
    /// WebKitGTK's MiniBrowser, driven by WebKitWebDriver.
    WebKit,
}

/// The programs of a browser.
pub(super) enum Programs {
    Chromium { chromedriver: PathBuf },
    Firefox { firefox: PathBuf },
    WebKit { driver: PathBuf, xvfb: PathBuf },
}

impl BrowserKind {
    /// Returns the programs of the browser. If one is missing: `None`, or a failure where `CI` is
    /// set.
    pub(super) fn programs(self, test: &str) -> Option<Programs> {
        let covered = format!("{test} in {self}");
        let path = |variable| path_from_env(variable, &covered);
        Some(match self {
            Self::Chromium => Programs::Chromium { chromedriver: path("TEST_CHROMEDRIVER")? },
            Self::Firefox => Programs::Firefox { firefox: path("TEST_FIREFOX")? },
            Self::WebKit => {
                Programs::WebKit { driver: path("TEST_WEBKIT_DRIVER")?, xvfb: path("TEST_XVFB")? }
            }
        })
    }

    /// Returns whether [`Browser::set_offline`](super::Browser::set_offline) works.
    pub(crate) const fn can_go_offline(self) -> bool {
        !matches!(self, Self::WebKit)
    }
}

impl Display for BrowserKind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
            Self::WebKit => "WebKit",
        })
    }
}

//! Scenarios that run in every browser, each as a test of its own.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::BrowserKind;

/// The number of browsers that run at the same time. Each keeps a core busy.
const MAX_BROWSERS: usize = 2;

/// The deadline for a turn to start a browser. All other tests with browsers may come first.
const MAX_WAIT: Duration = Duration::from_secs(1200);

/// The deadline for one scenario.
const MAX_DURATION: Duration = Duration::from_secs(180);

/// Turns to run a browser.
static TURNS: Semaphore = Semaphore::const_new(MAX_BROWSERS);

/// Runs a scenario in one browser. A missing browser is reported, or is a failure where `CI` is
/// set.
pub(crate) async fn run<S: Future<Output = ()>>(
    name: &str,
    kind: BrowserKind,
    scenario: impl FnOnce(BrowserKind) -> S,
) {
    if kind.programs(name).is_none() {
        return;
    }
    let turn = tokio::time::timeout(MAX_WAIT, TURNS.acquire()).await;
    let _turn = turn.unwrap_or_else(|_| panic!("no turn for {name} in {kind} within {MAX_WAIT:?}"));
    let run = tokio::time::timeout(MAX_DURATION, scenario(kind)).await;
    assert!(run.is_ok(), "{name} in {kind} did not end within {MAX_DURATION:?}");
}

/// Defines a test for each browser: `scenario::chromium`, `scenario::firefox` and
/// `scenario::webkit`. A scenario is an async function of a [`BrowserKind`].
macro_rules! in_every_browser {
    ($($scenario:ident),+ $(,)?) => {
        $(crate::support::tools::browser::scenario::in_browsers! {
            $scenario: chromium Chromium, firefox Firefox, webkit WebKit
        })+
    };
}

/// Defines a test of a scenario for each of the listed browsers.
macro_rules! in_browsers {
    ($scenario:ident: $($test:ident $kind:ident),+) => {
        mod $scenario {
            $(#[tokio::test]
            async fn $test() {
                use crate::support::tools::browser::{BrowserKind, scenario};
                scenario::run(stringify!($scenario), BrowserKind::$kind, super::$scenario).await;
            })+
        }
    };
}

pub(crate) use {in_browsers, in_every_browser};

//! What the page and the widget request, and from whom. They set no cookies.

use serde_json::Value;

use crate::support::client::chat::Chat;
use crate::support::site::HostSite;
use crate::support::surface::{SURFACES, publish_widget};
use crate::support::tools::browser::scenario::in_every_browser;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::tools::nginx::{Nginx, Proxy};

in_every_browser! {
    only_the_server_and_the_site_are_asked_and_no_cookies_are_set,
}

/// The origins of everything that the page has loaded or tried to load.
const ORIGINS: &str =
    "[...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]";

/// The paths that the page, the widget and the browser for them may request.
const PATHS: [&str; 5] = ["/", "/widget.js", "/favicon.ico", "/manifest.webmanifest", "/ws/chat"];

async fn only_the_server_and_the_site_are_asked_and_no_cookies_are_set(kind: BrowserKind) {
    let site = HostSite::start().await;
    let chat = Chat::new(&[("ALLOWED_ORIGINS", &site.origin())]).await;
    let test = "the requests of a browser";
    let Some(nginx) = Nginx::start(test, chat.server.address(), Proxy::MayRefuseUpgrades).await else {
        return;
    };
    nginx.allow_upgrades(true);
    let server = format!("http://{}", nginx.address);
    let policy =
        format!("default-src 'none'; script-src {server}; connect-src {server} ws://{}", nginx.address);
    publish_widget(&site, &server, "lang=\"en\"", &[("Content-Security-Policy", &policy)]);
    let browser = Browser::start(kind).await;

    for surface in SURFACES {
        surface.open(&browser, &server, &site).await;
        surface.ask(&browser, "Which?").await;
        browser.click(&surface.path(".thumb.up")).await;
        surface.reload(&browser).await;
        surface.wait_for_status(&browser, "complete").await;

        let origins = browser.evaluate(ORIGINS).await;
        let own = [Value::from(server.as_str()), Value::from(format!("ws://{}", nginx.address))];
        let site_itself = Value::from(site.origin());
        let foreign = |origin: &&Value| !own.contains(origin) && **origin != site_itself;
        let foreign: Vec<_> = origins.as_array().unwrap().iter().filter(foreign).collect();
        assert!(foreign.is_empty(), "{surface:?} asks {foreign:?}");
        assert_eq!(browser.evaluate("document.cookie").await, "", "{surface:?}");
        // Browsers report what a policy has blocked. The site has no icon.
        let problems = browser.console_problems().await;
        let problems: Vec<_> = problems.iter().filter(|problem| !problem.contains("favicon")).collect();
        assert!(problems.is_empty(), "{surface:?}: {problems:#?}");
        let databases = "indexedDB.databases().then((all) => all.length)";
        assert_eq!(browser.evaluate(databases).await, 0, "{surface:?}");
    }

    let of_site = site.requests();
    assert!(of_site.iter().all(|path| path == "/" || path == "/favicon.ico"), "{of_site:?}");
    let blocked = site.violations();
    let blocked: Vec<_> = blocked.iter().filter(|it| !it.to_string().contains("favicon")).collect();
    assert!(blocked.is_empty(), "{blocked:#?}");
    // The log has a socket only when it has ended.
    browser.open("about:blank").await;
    nginx.wait_until_logged(0, "the sockets in nginx's log", |request| request.status == 101).await;
    for request in nginx.requests() {
        let known = PATHS.contains(&request.path.as_str()) || request.path.starts_with("/assets/");
        assert!(known && matches!(request.status, 101 | 200 | 304), "{request:?}");
        assert_eq!(request.cookies, "", "{request:?}");
    }
}

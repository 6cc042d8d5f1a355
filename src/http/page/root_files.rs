//! The web manifest and `robots.txt`.

use serde_json::{Value, json};

use super::languages::Locale;
use crate::http::content::assets;

/// The background of the page in light mode, as in its styles.
const BACKGROUND: &str = "#faf9f6";

/// The accent of the page, as in its styles.
const ACCENT: &str = "#2f6f68";

/// Addresses without content for search engines.
const NOT_FOR_ROBOTS: [&str; 6] = ["/ws/", "/sse/", "/health", "/docs", "/openapi.json", "/asyncapi.json"];

/// Returns the web manifest. All addresses are relative to it.
pub(super) fn manifest(locale: &Locale, name: &str) -> Value {
    let icon = |file: &str, sizes: &str, media_type: &str, purpose: &str| {
        let src = format!("assets/{}/icons/{file}", assets::REVISION);
        json!({ "src": src, "sizes": sizes, "type": media_type, "purpose": purpose })
    };
    json!({
        "name": locale.text("page.title", name),
        "short_name": name,
        "description": locale.text("page.description", name),
        "lang": locale.tag,
        "dir": locale.direction(),
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": BACKGROUND,
        "theme_color": ACCENT,
        "icons": [
            icon("icon.svg", "any", "image/svg+xml", "any"),
            icon("icon-192.png", "192x192", "image/png", "any"),
            icon("icon-512.png", "512x512", "image/png", "any"),
            icon("icon-maskable-512.png", "512x512", "image/png", "maskable"),
        ],
    })
}

/// Returns `robots.txt` for a server below a path prefix.
pub(super) fn robots(prefix: &str) -> String {
    let disallowed = NOT_FOR_ROBOTS.map(|path| format!("Disallow: {prefix}{path}\n"));
    format!("User-agent: *\n{}Allow: {prefix}/\n", disallowed.concat())
}

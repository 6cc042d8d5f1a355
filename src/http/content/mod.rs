//! Files that are served from memory: the chat page, the browser files, and what crawlers and
//! browsers ask for.

pub(super) mod assets;
pub(super) mod representation;

use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName};
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use self::assets::Asset;
use self::representation::{IMMUTABLE, ONE_DAY, REVALIDATE, Representation};
use super::AppState;
use super::error_response::not_found;
use super::page::{MANIFEST_MEDIA_TYPE, PAGE_MEDIA_TYPE, TEXT_MEDIA_TYPE};
use super::routing::readable;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The path of the icon that browsers ask for without being told.
const FAVICON: &str = "/favicon.ico";

/// The path of the module that adds the chat to the pages of other sites.
const WIDGET: &str = "/widget.js";

/// Returns path and media type of every file at an address that does not change.
pub(super) fn stable_files() -> Vec<(&'static str, &'static str)> {
    let made = [
        ("/", PAGE_MEDIA_TYPE),
        ("/manifest.webmanifest", MANIFEST_MEDIA_TYPE),
        ("/robots.txt", TEXT_MEDIA_TYPE),
        (FAVICON, "image/x-icon"),
    ];
    let entry_points = assets::ENTRY_POINTS.iter().map(|asset| (asset.path, asset.media_type));
    made.into_iter().chain(entry_points).collect()
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(readable("/", async |request: HttpRequest, state: Data<AppState>| {
            state.site.pages.page(&request).respond(&request)
        }))
        .service(readable("/manifest.webmanifest", async |request: HttpRequest, state: Data<AppState>| {
            state.site.pages.manifest(&request).respond(&request)
        }))
        .service(readable("/robots.txt", async |request: HttpRequest, state: Data<AppState>| {
            state.site.pages.robots.respond(&request)
        }))
        .service(readable(FAVICON, favicon));
    for asset in &assets::ENTRY_POINTS {
        let mut file = embeddable(asset, REVALIDATE);
        if asset.path == WIDGET {
            // On a site that is not listed, the widget says what its owner has to do.
            file = file.with_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        }
        config.service(readable(asset.path, move |request: HttpRequest| {
            let response = file.respond(&request);
            async move { response }
        }));
    }
    config.service(readable("/assets/{revision}/{path:.*}", revision_file));
}

/// Serves a file of a revision. A page of another version of this server receives the current file,
/// which caches must not keep under that address.
async fn revision_file(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let (revision, path) = path.into_inner();
    let Some(asset) = assets::find(&path) else { return not_found(&request) };
    let caching = if revision == assets::REVISION { IMMUTABLE } else { REVALIDATE };
    embeddable(asset, caching).respond(&request)
}

async fn favicon(request: HttpRequest) -> HttpResponse {
    match assets::find("icons/favicon.ico") {
        Some(icon) => embeddable(icon, ONE_DAY).respond(&request),
        None => not_found(&request),
    }
}

/// Returns a file that pages of other sites may load.
fn embeddable(asset: &Asset, caching: &'static str) -> Representation {
    Representation::of_asset(asset, caching).with_header(RESOURCE_POLICY, "cross-origin")
}

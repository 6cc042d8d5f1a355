//! The server for the operator, on a separate address: metrics and health.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, to};
use actix_web::{App, HttpRequest, HttpResponse};

use super::error_response::error;
use super::http1::ServerParameters;
use super::middleware::host::ListenScope;
use super::routing::{readable, unknown_path};
use super::{AppState, health, http1, middleware, request_id};
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;

/// The media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The maximum number of open connections; further ones wait.
const MAX_CONNECTIONS: usize = 64;

/// Serves on one worker thread until the returned server is stopped.
///
/// # Errors
/// Returns an error if the listener cannot be used.
pub fn serve_operator(
    listener: TcpListener,
    state: Data<AppState>,
    slow_reader_timeout: Duration,
) -> std::io::Result<Server> {
    let parameters = ServerParameters {
        name: "operator",
        workers: 1,
        max_connections: MAX_CONNECTIONS,
        slow_reader_timeout,
        response_headers: Arc::clone(&state.site.response_headers),
    };
    let scope = ListenScope::of(listener.local_addr()?.ip());
    http1::serve(listener, parameters, move || {
        App::new()
            .app_data(Data::clone(&state))
            .app_data(scope)
            .wrap(from_fn(middleware::for_the_operator))
            .wrap(from_fn(request_id::attach))
            .service(readable("/metrics", metrics))
            .service(readable("/health", health::report))
            .configure(failpoint_routes)
            .default_service(to(unknown_path))
    })
}

/// Adds `/faults/{failpoint}/{order}` in test builds. A number makes the next hits panic; `hold`
/// makes tasks wait at the failpoint, `lingering` returns the number of waiting tasks, and
/// `release` resumes them.
fn failpoint_routes(config: &mut ServiceConfig) {
    #[cfg(feature = "fault-injection")]
    config.service(actix_web::web::resource("/faults/{failpoint}/{order}").route(actix_web::web::get().to(
        async |path: actix_web::web::Path<(String, String)>| {
            let (failpoint, order) = path.into_inner();
            match (order.as_str(), order.parse()) {
                ("hold", _) => crate::system::failpoints::hold(&failpoint),
                ("release", _) => crate::system::failpoints::release(&failpoint),
                ("lingering", _) => {
                    return HttpResponse::Ok()
                        .body(crate::system::failpoints::waiting_count(&failpoint).to_string());
                }
                (_, Ok(times)) => crate::system::failpoints::arm(&failpoint, times),
                (_, Err(_)) => return HttpResponse::BadRequest().finish(),
            }
            HttpResponse::NoContent().finish()
        },
    )));
    #[cfg(not(feature = "fault-injection"))]
    let _ = config;
}

async fn metrics(request: HttpRequest, state: Data<AppState>) -> HttpResponse {
    let session = &state.session;
    let count = |open: usize| i64::try_from(open).unwrap_or(i64::MAX);
    session.metrics.session.open_connections.set(count(session.registry.connection_count()));
    session.metrics.session.open_sessions.set(count(session.registry.session_count()));
    session.metrics.limits.set_occupancy(state.ip_limiter.occupancy());
    state.budget.update_metrics(&session.metrics.budget, Timestamp::now());
    match session.metrics.scrape() {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, OPEN_METRICS))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(text),
        Err(_) => error(&request, ErrorCode::InternalError, ErrorCode::InternalError.entry().message),
    }
}

//! The server for the operator, on a separate address: metrics and health.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, get, resource};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use super::error_response::error;
use super::server::{KEEP_ALIVE, REQUEST_TIMEOUT};
use super::{AppState, health, request_id};
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
pub fn serve_operator(listener: TcpListener, state: Data<AppState>) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&state))
            .wrap(from_fn(request_id::attach))
            .service(resource("/metrics").route(get().to(metrics)))
            .service(resource("/health").route(get().to(health::report)))
            .configure(failpoint_routes)
    })
    .workers(1)
    .max_connections(MAX_CONNECTIONS)
    .client_request_timeout(REQUEST_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?;
    Ok(server.run())
}

/// Adds `/faults/{failpoint}/{order}` in test builds. A number makes the next hits panic; `hold`
/// makes tasks wait at the failpoint, `lingering` returns the number of waiting tasks, and
/// `release` resumes them.
fn failpoint_routes(config: &mut ServiceConfig) {
    #[cfg(feature = "fault-injection")]
    config.service(resource("/faults/{failpoint}/{order}").route(get().to(
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

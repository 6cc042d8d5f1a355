//! What only the operator may reach, on an address of its own: metrics and health.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, get, resource};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use super::refusal::refuse;
use super::server::{KEEP_ALIVE, REQUEST_TIMEOUT};
use super::{HttpSurroundings, health, request_id};
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;

/// The type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at one time; further ones wait.
const MOST_CONNECTIONS: usize = 64;

/// Serves the operator until it is stopped, on a thread of its own.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve_operator(
    listener: TcpListener,
    surroundings: Data<HttpSurroundings>,
) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&surroundings))
            .wrap(from_fn(request_id::attach))
            .service(resource("/metrics").route(get().to(metrics)))
            .service(resource("/health").route(get().to(health::report)))
            .configure(faults)
    })
    .workers(1)
    .max_connections(MOST_CONNECTIONS)
    .client_request_timeout(REQUEST_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?;
    Ok(server.run())
}

/// In builds for tests alone: `/faults/{point}/{times}` has the next passes of a point panic; `hold` has whoever comes there wait,
/// `lingering` says how many have, `release` lets them go.
fn faults(config: &mut ServiceConfig) {
    #[cfg(feature = "fault-injection")]
    config.service(resource("/faults/{point}/{order}").route(get().to(
        async |wanted: actix_web::web::Path<(String, String)>| {
            let (point, order) = wanted.into_inner();
            match (order.as_str(), order.parse()) {
                ("hold", _) => crate::system::failpoints::hold(&point),
                ("release", _) => crate::system::failpoints::release(&point),
                ("lingering", _) => {
                    return HttpResponse::Ok().body(crate::system::failpoints::lingering(&point).to_string());
                }
                (_, Ok(times)) => crate::system::failpoints::arm(&point, times),
                (_, Err(_)) => return HttpResponse::BadRequest().finish(),
            }
            HttpResponse::NoContent().finish()
        },
    )));
    #[cfg(not(feature = "fault-injection"))]
    let _ = config;
}

async fn metrics(request: HttpRequest, surroundings: Data<HttpSurroundings>) -> HttpResponse {
    let session = &surroundings.session;
    let count = |open: usize| i64::try_from(open).unwrap_or(i64::MAX);
    session.metrics.session.open_connections.set(count(session.registry.open()));
    session.metrics.session.open_sessions.set(count(session.registry.sessions()));
    session.metrics.limits.set_occupancy(surroundings.addresses.occupancy());
    surroundings.spending.update_metrics(&session.metrics.budget, Timestamp::now());
    match session.metrics.scrape() {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, OPEN_METRICS))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(text),
        Err(_) => refuse(&request, ErrorCode::InternalError, ErrorCode::InternalError.entry().message),
    }
}

//! `GET /health` and its narrower sisters.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::HttpSurroundings;
use super::refusal::refuse;
use crate::domain::error_code::ErrorCode;
use crate::health::{CheckHealth, HealthReport};
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

/// A probe gets an answer in this time, whatever hangs.
const REPORT_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
pub(super) struct Depth {
    #[serde(default)]
    deep: bool,
}

pub(super) async fn report(
    request: HttpRequest,
    depth: Result<Query<Depth>, actix_web::Error>,
    surroundings: Data<HttpSurroundings>,
) -> HttpResponse {
    failpoints::hit(Failpoint::HttpHealth, "");
    let Ok(depth) = depth else {
        return refuse(&request, ErrorCode::ValidationError, "`deep` is `true` or `false`.");
    };
    match ask(&surroundings, depth.deep).await {
        Some(report) => {
            let status = if report.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(report)
        }
        None => refuse(&request, ErrorCode::Overloaded, "The health actor does not answer."),
    }
}

/// Whether new visitors should be sent here.
pub(super) async fn ready(request: HttpRequest, surroundings: Data<HttpSurroundings>) -> HttpResponse {
    match ask(&surroundings, false).await {
        Some(report) if report.is_ready() => told("ready"),
        _ if surroundings.session.registry.is_closed() => {
            refuse(&request, ErrorCode::ShuttingDown, ErrorCode::ShuttingDown.entry().message)
        }
        _ => refuse(&request, ErrorCode::Overloaded, "Not ready; /health says why."),
    }
}

/// Whether the process does anything at all; it must not be killed for the faults of others.
pub(super) async fn live() -> HttpResponse {
    told("live")
}

async fn ask(surroundings: &HttpSurroundings, deep: bool) -> Option<HealthReport> {
    surroundings.health.ask(CheckHealth { deep }, REPORT_TIMEOUT).await.ok()
}

fn told(status: &str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(serde_json::json!({ "status": status }))
}

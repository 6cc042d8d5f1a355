//! `GET /health`, `/health/live` and `/health/ready`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::AppState;
use super::error_response::error;
use crate::domain::error_code::ErrorCode;
use crate::health::{CheckHealth, HealthReport};
use crate::system::failpoints::{self, Failpoint};

/// The maximum time of a health request, even if a component hangs.
const REPORT_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
pub(super) struct Depth {
    #[serde(default)]
    deep: bool,
}

pub(super) async fn report(
    request: HttpRequest,
    depth: Result<Query<Depth>, actix_web::Error>,
    state: Data<AppState>,
) -> HttpResponse {
    failpoints::hit(Failpoint::HttpHealth, "");
    let Ok(depth) = depth else {
        return error(&request, ErrorCode::ValidationError, "`deep` is `true` or `false`.");
    };
    match check(&state, depth.deep).await {
        Some(report) => {
            let status = if report.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(report)
        }
        None => error(&request, ErrorCode::Overloaded, "The health actor does not answer."),
    }
}

/// Reports whether a load balancer should send new visitors here.
pub(super) async fn ready(request: HttpRequest, state: Data<AppState>) -> HttpResponse {
    match check(&state, false).await {
        Some(report) if report.is_ready() => status_response("ready"),
        _ if state.session.registry.is_closed() => {
            error(&request, ErrorCode::ShuttingDown, ErrorCode::ShuttingDown.entry().message)
        }
        _ => error(&request, ErrorCode::Overloaded, "Not ready; /health says why."),
    }
}

/// Reports that the process responds. Independent of other components, so that an orchestrator does
/// not restart it for their failures.
pub(super) async fn live() -> HttpResponse {
    status_response("live")
}

async fn check(state: &AppState, deep: bool) -> Option<HealthReport> {
    state.health.ask(CheckHealth { deep }, REPORT_TIMEOUT).await.ok()
}

fn status_response(status: &str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(serde_json::json!({ "status": status }))
}

//! The server for visitors: its listener and routes.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;
use actix_web::App;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, get, post, resource, to};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::http1::ServerParameters;
use super::middleware::host::ListenScope;
use super::routing::{readable, unknown_path};
use super::{AppState, api_docs, content, event_stream, health, http1, middleware, request_id, upgrade};

/// The number of connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// An address cannot be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process uses the visitors' address.
    #[error("port {} on {} is taken; stop what uses it, or set PORT to another one (0 for any free one)", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// Another process uses the operator's address.
    #[error("port {} on {}, for metrics, is taken; stop what uses it, or set OPERATOR_ADDRESS to another one (port 0 for any free one, off for none)", .0.port(), .0.ip())]
    OperatorInUse(SocketAddr),
    /// The operating system denies the operator's address.
    #[error("{address} cannot be listened on ({source}); check OPERATOR_ADDRESS")]
    OperatorRefused { address: SocketAddr, source: std::io::Error },
    /// The operating system denies the visitors' address.
    #[error("{address} cannot be listened on ({source}); check HOST and PORT")]
    Refused { address: SocketAddr, source: std::io::Error },
}

/// Binds the address for visitors.
///
/// # Errors
/// Returns a [`BindError`] that names the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::InUse(address),
        _ => BindError::Refused { address, source },
    })
}

/// Binds the operator's address.
///
/// # Errors
/// Returns a [`BindError`] that names the address.
pub fn bind_operator(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::OperatorInUse(address),
        _ => BindError::OperatorRefused { address, source },
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without this, a restart would fail while connections of the previous process are closing.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until the returned server is stopped, with at most `max_connections` at a time. Does not
/// install signal handlers.
///
/// # Errors
/// Returns an error if the listener cannot be used.
pub fn serve(
    listener: TcpListener,
    state: Data<AppState>,
    slow_reader_timeout: Duration,
    max_connections: u32,
) -> std::io::Result<Server> {
    let workers = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let parameters = ServerParameters {
        name: "chat",
        workers,
        max_connections: max_connections.div_ceil(workers),
        slow_reader_timeout,
        response_headers: Arc::clone(&state.site.response_headers),
    };
    let scope = ListenScope::of(listener.local_addr()?.ip());
    http1::serve(listener, parameters, move || {
        App::new()
            .app_data(Data::clone(&state))
            .app_data(scope)
            .wrap(from_fn(middleware::for_visitors))
            .wrap(from_fn(request_id::attach))
            .service(resource("/ws/chat").route(get().to(upgrade::chat)))
            .service(
                resource("/sse/chat")
                    .route(get().to(event_stream::connect))
                    .route(post().to(event_stream::connect_with_frames)),
            )
            .service(resource("/sse/chat/{connection_id}").route(post().to(event_stream::post_frames)))
            .service(readable("/health", health::report))
            .service(readable("/health/live", health::live))
            .service(readable("/health/ready", health::ready))
            .configure(api_docs::routes)
            .configure(content::routes)
            .default_service(to(unknown_path))
    })
}

//! The server for visitors: its listener and routes.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_http::HttpServiceBuilder;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, get, post, resource};
use actix_web::{App, Error};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::connection::AbortableStream;
use super::{AppState, api_docs, event_stream, health, request_id, static_files, upgrade};

/// The number of connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long a client may take to send the head of a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client has to close the connection after the server did. Dropping the connection at
/// once would discard data that is still in flight.
const LINGER: Duration = Duration::from_secs(1);

/// How long an idle connection is kept open for another request.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

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
    let app = move || {
        App::new()
            .app_data(Data::clone(&state))
            .wrap(from_fn(request_id::attach))
            .service(resource("/ws/chat").route(get().to(upgrade::chat)))
            .service(
                resource("/sse/chat")
                    .route(get().to(event_stream::connect))
                    .route(post().to(event_stream::connect_with_frames)),
            )
            .service(resource("/sse/chat/{connection_id}").route(post().to(event_stream::post_frames)))
            .service(resource("/health").route(get().to(health::report)))
            .service(resource("/health/live").route(get().to(health::live)))
            .service(resource("/health/ready").route(get().to(health::ready)))
            .configure(api_docs::routes)
            .configure(static_files::routes)
    };
    // The same as `HttpServer`, with our own type of connection.
    let server = Server::build()
        .workers(workers)
        // Per worker. A full worker is skipped while another one has room; if all are full, clients
        // wait.
        .max_concurrent_connections(max_connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(1)
        .listen("chat", listener, move || {
            let app = app().into_factory().map_err(|error: Error| error.error_response());
            let http = HttpServiceBuilder::default()
                .client_request_timeout(REQUEST_TIMEOUT)
                .client_disconnect_timeout(LINGER)
                .keep_alive(KEEP_ALIVE)
                .on_connect_ext(AbortableStream::attach_abort_handle)
                .h1(map_config(app, |_| AppConfig::default()));
            let accept = move |stream| ready(Ok(AbortableStream::accept(stream, slow_reader_timeout)));
            fn_service(accept).and_then(http)
        })?;
    Ok(server.run())
}

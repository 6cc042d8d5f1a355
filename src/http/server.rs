//! The listener and its routes.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_http::HttpServiceBuilder;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, get, resource};
use actix_web::{App, Error};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::connection::Connection;
use super::{HttpSurroundings, documents, health, page, request_id, upgrade};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long a client may take to send the head of a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to close after we have, in which it still gets what was written: a connection that is dropped
/// at once takes the last words with it.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection is kept for another request.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The address cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error("port {} on {} is taken; stop what uses it, or set PORT to another one (0 for any free one)", .0.port(), .0.ip())]
    Taken(SocketAddr),
    /// Somebody else has the operator's.
    #[error("port {} on {}, for metrics, is taken; stop what uses it, or set OPERATOR_ADDRESS to another one (port 0 for any free one, off for none)", .0.port(), .0.ip())]
    OperatorTaken(SocketAddr),
    /// The operator's is not for us.
    #[error("{address} cannot be listened on ({source}); check OPERATOR_ADDRESS")]
    OperatorRefused {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// It is not for us.
    #[error("{address} cannot be listened on ({source}); check HOST and PORT")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
}

/// Takes the address.
///
/// # Errors
/// [`BindError`], which names it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::Taken(address),
        _ => BindError::Refused { address, source },
    })
}

/// Takes the operator's address.
///
/// # Errors
/// [`BindError`], which names it.
pub fn bind_operator(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::OperatorTaken(address),
        _ => BindError::OperatorRefused { address, source },
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until it is stopped, at most so many connections at one time; signals are not its business.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(
    listener: TcpListener,
    surroundings: Data<HttpSurroundings>,
    slow_reader_timeout: Duration,
    max_connections: u32,
) -> std::io::Result<Server> {
    let workers = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let app = move || {
        App::new()
            .app_data(Data::clone(&surroundings))
            .wrap(from_fn(request_id::attach))
            .service(resource("/ws/chat").route(get().to(upgrade::chat)))
            .service(resource("/health").route(get().to(health::report)))
            .service(resource("/health/live").route(get().to(health::live)))
            .service(resource("/health/ready").route(get().to(health::ready)))
            .configure(documents::routes)
            .configure(page::routes)
    };
    // What `HttpServer` would do, over connections of our own kind.
    let server = Server::build()
        .workers(workers)
        // Of each worker; one that has as many is passed over while another has fewer. When all have, further clients wait.
        .max_concurrent_connections(max_connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(1)
        .listen("chat", listener, move || {
            let app = app().into_factory().map_err(|error: Error| error.error_response());
            let http = HttpServiceBuilder::default()
                .client_request_timeout(REQUEST_TIMEOUT)
                .client_disconnect_timeout(LINGER)
                .keep_alive(KEEP_ALIVE)
                .on_connect_ext(Connection::hand_over_lifeline)
                .h1(map_config(app, |_| AppConfig::default()));
            let accept = move |stream| ready(Ok(Connection::accept(stream, slow_reader_timeout)));
            fn_service(accept).and_then(http)
        })?;
    Ok(server.run())
}

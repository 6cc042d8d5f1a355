//! The listener and its routes.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, get, resource};
use actix_web::{App, HttpServer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

use super::{HttpSurroundings, documents, health, page, request_id, upgrade};
use crate::session::watchdog::PeerSocket;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Bytes that the system may hold for a client beyond what it has sent already. Without a bound it would hold megabytes
/// for each that has stopped reading; with less the system would wait for us.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// How long a client may take to send the head of a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

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
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&surroundings))
            .wrap(from_fn(request_id::attach))
            .service(resource("/ws/chat").route(get().to(upgrade::chat)))
            .service(resource("/health").route(get().to(health::report)))
            .service(resource("/health/live").route(get().to(health::live)))
            .service(resource("/health/ready").route(get().to(health::ready)))
            .configure(documents::routes)
            .configure(page::routes)
    })
    .on_connect(move |connection, extensions| prepare(connection, extensions, slow_reader_timeout))
    // Without it the last word of every answer waits 40 ms for an acknowledgement that is itself delayed.
    .tcp_nodelay(true)
    .client_request_timeout(REQUEST_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .workers(workers)
    // Of each worker; one that has as many is passed over while another has fewer. When all have, further clients wait.
    .max_connections(max_connections.div_ceil(workers))
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?;
    Ok(server.run())
}

/// Arms an accepted socket against a peer that stops reading.
fn prepare(connection: &dyn Any, extensions: &mut Extensions, slow_reader_timeout: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let socket = SockRef::from(stream);
    // Where the system has no such option, and against a peer that acknowledges but never reads, there is the watchdog.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(slow_reader_timeout));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    if let Ok(handle) = socket.try_clone() {
        extensions.insert(Arc::new(PeerSocket(handle)));
    }
}

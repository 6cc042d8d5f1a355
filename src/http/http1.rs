//! Serves HTTP/1.1 on a listener, with our own type of connection.

use std::future::ready;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpServiceBuilder;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::{App, Error};

use super::connection::AbortableStream;
use super::middleware::response_headers::ResponseHeaders;

/// How long a client may take to send the head of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client has to close the connection after the server did. Dropping the connection at
/// once would discard data that is still in flight.
const LINGER: Duration = Duration::from_secs(1);

/// How long an idle connection is kept open for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The parameters of a server.
pub(super) struct ServerParameters {
    pub(super) name: &'static str,
    pub(super) workers: usize,
    /// Per worker. A full worker is skipped while another one has room; if all are full, clients
    /// wait.
    pub(super) max_connections: usize,
    pub(super) slow_reader_timeout: Duration,
    /// The headers of the responses that the HTTP library writes itself.
    pub(super) response_headers: Arc<ResponseHeaders>,
}

/// Serves until the returned server is stopped. Does not install signal handlers. The same as
/// `HttpServer`, with our own type of connection.
///
/// # Errors
/// Returns an error if the listener cannot be used.
pub(super) fn serve<T, B>(
    listener: TcpListener,
    parameters: ServerParameters,
    app: impl Fn() -> App<T> + Clone + Send + 'static,
) -> std::io::Result<Server>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let ServerParameters { name, workers, max_connections, slow_reader_timeout, response_headers } =
        parameters;
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(max_connections)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(name, listener, move || {
            let app = app().into_factory().map_err(|error: Error| error.error_response());
            let http = HttpServiceBuilder::default()
                .client_request_timeout(REQUEST_TIMEOUT)
                .client_disconnect_timeout(LINGER)
                .keep_alive(KEEP_ALIVE)
                .on_connect_ext(AbortableStream::attach_handles)
                .h1(map_config(app, |_| AppConfig::default()));
            let response_headers = Arc::clone(&response_headers);
            let accept = move |stream| {
                let headers = Arc::clone(&response_headers);
                ready(Ok(AbortableStream::accept(stream, slow_reader_timeout, headers)))
            };
            fn_service(accept).and_then(http)
        })?;
    Ok(server.run())
}

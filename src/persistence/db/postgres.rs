//! Opening a connection to PostgreSQL, encrypted when the owner asks for it.

use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A database whose network says nothing at all is given up after this. The system would wait for a quarter of an hour, and with it
/// everything that is to be written.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(10);

/// Opens a connection. `sslmode=require` (or `verify-full`, which is the same here) encrypts and checks the server's
/// certificate against the system's authorities; without it the connection is plain, as within one machine or network.
/// The connection's driver runs on the runtime that calls this.
pub(crate) async fn open(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut config: Config = verifying(url).parse().map_err(bad)?;
    // What the owner says in the URL is left as it is.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNREACHABLE_AFTER);
    }
    if !url.contains("keepalives") {
        config.keepalives_idle(UNREACHABLE_AFTER / 2).keepalives_interval(UNREACHABLE_AFTER / 4);
    }
    if config.get_ssl_mode() == SslMode::Require {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_platform_verifier()
            .map_err(bad)?
            .with_no_client_auth();
        let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await.map_err(bad)?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    } else {
        let (client, connection) = config.connect(NoTls).await.map_err(bad)?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

/// The names other clients have for what `require` does here.
fn verifying(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

/// The error with its causes: the outermost alone says only that there was one.
fn bad(error: impl std::error::Error) -> ConnectionError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    ConnectionError::BadConnection(text)
}

//! Opens connections to PostgreSQL, with TLS if the URL asks for it.

use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::domain::error_chain::ErrorChain;

/// A connection without any network traffic is closed after this time. The operating system's
/// default is a quarter of an hour, during which all writes would wait.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a connection. `sslmode=require` (or `verify-full`, which means the same here) encrypts it
/// and verifies the certificate of the server with the authorities of the system; otherwise it is
/// not encrypted. The driver of the connection runs on the calling runtime.
pub(crate) async fn open(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut config: Config = normalize_sslmode(url).parse().map_err(bad_connection)?;
    // Options in the URL take precedence.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(NETWORK_TIMEOUT);
    }
    if !url.contains("keepalives") {
        config.keepalives_idle(NETWORK_TIMEOUT / 2).keepalives_interval(NETWORK_TIMEOUT / 4);
    }
    if config.get_ssl_mode() == SslMode::Require {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(bad_connection)?
            .with_platform_verifier()
            .map_err(bad_connection)?
            .with_no_client_auth();
        let (client, connection) =
            config.connect(MakeRustlsConnect::new(tls)).await.map_err(bad_connection)?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    } else {
        let (client, connection) = config.connect(NoTls).await.map_err(bad_connection)?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

/// Replaces the modes of other clients that mean the same as `require` here.
fn normalize_sslmode(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

/// Diesel keeps only the text of an error, so the text includes the causes.
fn bad_connection(error: impl std::error::Error + 'static) -> ConnectionError {
    ConnectionError::BadConnection(ErrorChain(&error).to_string())
}

//! A TCP proxy between a client and a server, for network failures: it can drop its connections,
//! stall them without closing, or add latency.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy to one server. Failures affect the connections that exist when they are injected;
/// new connections work normally, except that latency applies to all.
pub(crate) struct TcpProxy {
    /// The address clients connect to.
    pub(crate) address: SocketAddr,
    drops: watch::Sender<usize>,
    stalls: watch::Sender<usize>,
    latency: watch::Sender<Duration>,
}

impl TcpProxy {
    /// Starts a proxy to `server` on a free port.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            drops: watch::Sender::new(0),
            stalls: watch::Sender::new(0),
            latency: watch::Sender::new(Duration::ZERO),
        };
        let (drops, stalls, latency) = (proxy.drops.clone(), proxy.stalls.clone(), proxy.latency.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut dropped, mut stalled) = (drops.subscribe(), stalls.subscribe());
                let latency = latency.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.split(), server.split());
                    let upload = forward(from_client, to_server, &latency);
                    let download = forward(from_server, to_client, &latency);
                    tokio::select! {
                        // Returning closes both connections.
                        _ = async { tokio::try_join!(upload, download) } => return,
                        _ = dropped.changed() => return,
                        _ = stalled.changed() => {}
                    }
                    let _ = dropped.changed().await;
                });
            }
        });
        proxy
    }

    /// Keeps all connections open but stops forwarding data on them.
    pub(crate) fn stall(&self) {
        self.stalls.send_modify(|count| *count += 1);
    }

    /// Delays data in each direction by this much.
    pub(crate) fn set_latency(&self, one_way: Duration) {
        self.latency.send_replace(one_way);
    }

    /// Closes all connections without a WebSocket close frame.
    pub(crate) fn drop_connections(&self) {
        self.drops.send_modify(|count| *count += 1);
    }
}

/// Copies bytes until `from` reaches its end.
async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    latency: &watch::Receiver<Duration>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let delay = *latency.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match bytes.get(..length) {
            Some([]) | None => return to.shutdown().await,
            Some(chunk) => to.write_all(chunk).await?,
        }
    }
}

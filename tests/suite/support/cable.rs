//! A cable between a client and a server, ours or a database, that a test can pull: a TCP proxy that forgets its
//! connections at once.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test, which is what it is for")]

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Pulled by [`Cable::pull`]; new connections pass as before.
pub(crate) struct Cable {
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    pulled: watch::Sender<usize>,
}

impl Cable {
    /// To this server.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pulled = watch::Sender::new(0);
        let pulls = pulled.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut pull = pulls.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        // Whoever ends it first, both ends are closed.
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = pull.changed() => {}
                    }
                });
            }
        });
        Self { address, pulled }
    }

    /// Ends every connection, without a word to either side.
    pub(crate) fn pull(&self) {
        self.pulled.send_modify(|times| *times += 1);
    }
}

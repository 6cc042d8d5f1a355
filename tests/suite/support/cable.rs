//! A cable between a client and a server, ours or a database, that a test can pull: a TCP proxy that forgets its
//! connections at once, or forgets only what it is there for.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test, which is what it is for")]

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Pulled by [`Cable::pull`], stuck by [`Cable::get_stuck`]; new connections pass as before.
pub(crate) struct Cable {
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    pulled: watch::Sender<usize>,
    stuck: watch::Sender<usize>,
}

impl Cable {
    /// To this server.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pulled, stuck) = (watch::Sender::new(0), watch::Sender::new(0));
        let (pulls, sticks) = (pulled.clone(), stuck.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut pull, mut stick) = (pulls.subscribe(), sticks.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        // Whoever ends it first, both ends are closed.
                        _ = copy_bidirectional(&mut client, &mut server) => return,
                        _ = pull.changed() => return,
                        _ = stick.changed() => {}
                    }
                    let _ = pull.changed().await;
                });
            }
        });
        Self { address, pulled, stuck }
    }

    /// Every connection stays, and nothing passes there any more.
    pub(crate) fn get_stuck(&self) {
        self.stuck.send_modify(|times| *times += 1);
    }

    /// Ends every connection, without a word to either side.
    pub(crate) fn pull(&self) {
        self.pulled.send_modify(|times| *times += 1);
    }
}

//! A cable between a client and a server, ours or a database, that a test can pull: a TCP proxy that forgets its
//! connections at once, or forgets only what it is there for, or takes its time.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test, which is what it is for")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Pulled by [`Cable::pull`], stuck by [`Cable::get_stuck`], where new connections pass as before; long by [`Cable::be_far`].
pub(crate) struct Cable {
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    pulled: watch::Sender<usize>,
    stuck: watch::Sender<usize>,
    one_way: watch::Sender<Duration>,
}

impl Cable {
    /// To this server.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pulled, stuck) = (watch::Sender::new(0), watch::Sender::new(0));
        let one_way = watch::Sender::new(Duration::ZERO);
        let (pulls, sticks, takes) = (pulled.clone(), stuck.clone(), one_way.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut pull, mut stick, takes) = (pulls.subscribe(), sticks.subscribe(), takes.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.split(), server.split());
                    let there = carry(from_client, to_server, &takes);
                    let back = carry(from_server, to_client, &takes);
                    tokio::select! {
                        // Whoever ends it first, both ends are closed.
                        _ = async { tokio::try_join!(there, back) } => return,
                        _ = pull.changed() => return,
                        _ = stick.changed() => {}
                    }
                    let _ = pull.changed().await;
                });
            }
        });
        Self { address, pulled, stuck, one_way }
    }

    /// Every connection stays, and nothing passes there any more.
    pub(crate) fn get_stuck(&self) {
        self.stuck.send_modify(|times| *times += 1);
    }

    /// What is sent arrives after so long.
    pub(crate) fn be_far(&self, one_way: Duration) {
        self.one_way.send_replace(one_way);
    }

    /// Ends every connection, without a word to either side.
    pub(crate) fn pull(&self) {
        self.pulled.send_modify(|times| *times += 1);
    }
}

/// Until the sender has ended.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    takes: &watch::Receiver<Duration>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let one_way = *takes.borrow();
        if !one_way.is_zero() {
            tokio::time::sleep(one_way).await;
        }
        match bytes.get(..length) {
            Some([]) | None => return to.shutdown().await,
            Some(some) => to.write_all(some).await?,
        }
    }
}

//! The signals that stop the server.

use rustix::process::Signal as SystemSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Installed and never read: exceeding the file size limit (`ulimit -f`) then fails the write,
    /// which SQLite reports as an error, instead of killing the process.
    _file_too_large: Signal,
}

impl Signals {
    /// Installs the handlers. From then on these signals no longer kill the process.
    ///
    /// # Errors
    /// Returns an error if a handler cannot be installed.
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(SystemSignal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next signal and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! Detects and closes connections of slow consumers.
//!
//! The server polls a WebSocket actor only while its socket accepts more bytes, so a client that
//! stops reading freezes the actor together with its timers: the actor cannot notice this itself.
//! Therefore each connection records when it passes bytes to its socket, and clears the record when
//! it is polled again and has nothing to send. If the record stays, the client has stopped reading
//! and the watchdog aborts the connection. A second record is set only by the first bytes: if it
//! stays, the client reads but does not catch up, and its session can still close the connection
//! with a reason.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use slog::{Logger, info};

use crate::system::failpoints::{self, Failpoint};
use crate::telemetry::metrics::Metrics;

/// How often the watchdog examines the connections. Connections measure time in these ticks, so
/// that they need not read a clock.
const TICK: Duration = Duration::from_millis(500);

/// The time in which a client that reads must catch up, as a multiple of the timeout of a client
/// that does not read. Pending text is sent in fewer and larger frames than new text, so a client
/// that can keep up at all catches up much sooner.
const CATCH_UP_FACTOR: u32 = 4;

/// Aborts a connection from another thread, as if its peer had gone.
#[derive(Debug, Default)]
pub struct AbortHandle {
    is_aborted: AtomicBool,
    aborts_on_end: AtomicBool,
    waker: AtomicWaker,
}

/// Aborts the connection when the client closes its side, as long as this lives.
#[derive(Debug)]
pub struct AbortOnEnd(Arc<AbortHandle>);

impl Drop for AbortOnEnd {
    fn drop(&mut self) {
        self.0.aborts_on_end.store(false, Ordering::Release);
    }
}

impl AbortHandle {
    /// Makes the end of what the client sends abort the connection. An HTTP response otherwise
    /// continues until a write fails, so an event stream would outlive its client until the next
    /// keep-alive.
    #[must_use]
    pub fn abort_on_end(self: &Arc<Self>) -> AbortOnEnd {
        self.aborts_on_end.store(true, Ordering::Release);
        AbortOnEnd(Arc::clone(self))
    }

    /// Returns whether the end of what the client sends aborts the connection.
    #[must_use]
    pub fn aborts_on_end(&self) -> bool {
        self.aborts_on_end.load(Ordering::Acquire)
    }

    /// Aborts the connection.
    pub fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.waker.wake();
    }

    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// Returns whether the connection is aborted. If not, the task is woken when it is.
    pub fn poll_aborted(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.is_aborted()
    }
}

/// Tracks whether the client of a connection reads its output.
#[derive(Debug)]
pub struct ConnectionProgress {
    /// The tick of the last bytes passed to the socket, which has not sent all of them yet; 0 if it
    /// has.
    blocked_since: AtomicU32,
    /// The tick since which the socket has always had bytes to send; 0 if it has none.
    behind_since: AtomicU32,
    abort_handle: Option<Arc<AbortHandle>>,
    tick: Arc<AtomicU32>,
    /// In ticks.
    timeout: u32,
}

/// Whether a client that reads keeps up with the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumerState {
    /// Nothing is pending.
    #[default]
    KeepingUp,
    /// Something is pending.
    Behind,
    /// Something has been pending for too long.
    TooSlow,
}

impl ConnectionProgress {
    /// Returns how the client keeps up. The result is meaningful only while the session is polled,
    /// which means that its client reads.
    #[must_use]
    pub fn consumer_state(&self) -> ConsumerState {
        let since = self.behind_since.load(Ordering::Relaxed);
        let behind = self.tick.load(Ordering::Relaxed).wrapping_sub(since);
        match since {
            0 => ConsumerState::KeepingUp,
            _ if behind <= self.timeout.saturating_mul(CATCH_UP_FACTOR) => ConsumerState::Behind,
            _ => ConsumerState::TooSlow,
        }
    }

    /// Wraps the output of the connection to record its progress.
    pub fn track<S>(self: Arc<Self>, output: S) -> TrackedStream<S> {
        TrackedStream { output, progress: self }
    }
}

/// Aborts connections whose client has stopped reading.
#[derive(Debug)]
pub struct Watchdog {
    connections: Mutex<Vec<Weak<ConnectionProgress>>>,
    tick: Arc<AtomicU32>,
    /// In ticks.
    timeout: u32,
}

impl Watchdog {
    /// Returns a watchdog that aborts connections which have not accepted any bytes for `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Arc<Self> {
        let ticks = timeout.as_millis().div_ceil(TICK.as_millis());
        let timeout = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        Arc::new(Self { connections: Mutex::default(), tick: Arc::new(AtomicU32::new(1)), timeout })
    }

    /// Begins to watch a connection.
    pub fn register(&self, abort_handle: Option<Arc<AbortHandle>>) -> Arc<ConnectionProgress> {
        let progress = Arc::new(ConnectionProgress {
            blocked_since: AtomicU32::new(0),
            behind_since: AtomicU32::new(0),
            abort_handle,
            tick: Arc::clone(&self.tick),
            timeout: self.timeout,
        });
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&progress));
        progress
    }

    /// Examines the connections at every tick, forever.
    pub async fn run(self: Arc<Self>, metrics: Arc<Metrics>, log: Logger) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let aborted = self.abort_stalled();
            if aborted > 0 {
                metrics.session.slow_consumer_closes.inc_by(u64::try_from(aborted).unwrap_or(0));
                info!(log, "closed slow connections"; "count" => aborted);
            }
        }
    }

    /// Aborts the connections that have stalled, and returns their number.
    fn abort_stalled(&self) -> usize {
        failpoints::hit(Failpoint::WatchdogTick, "");
        let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut aborted = 0;
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).retain(|progress| {
            let Some(progress) = progress.upgrade() else { return false };
            let since = progress.blocked_since.load(Ordering::Relaxed);
            if since == 0 || now.wrapping_sub(since) <= self.timeout {
                return true;
            }
            aborted += 1;
            if let Some(handle) = &progress.abort_handle {
                handle.abort();
            }
            false
        });
        aborted
    }
}

/// The output of a connection, which records its progress.
#[derive(Debug)]
pub struct TrackedStream<S> {
    output: S,
    progress: Arc<ConnectionProgress>,
}

impl<S, E> Stream for TrackedStream<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = Pin::new(&mut self.output).poll_next(cx);
        let progress = &self.progress;
        if matches!(polled, Poll::Ready(Some(_))) {
            let now = progress.tick.load(Ordering::Relaxed);
            progress.blocked_since.store(now, Ordering::Relaxed);
            if progress.behind_since.load(Ordering::Relaxed) == 0 {
                progress.behind_since.store(now, Ordering::Relaxed);
            }
        } else {
            progress.blocked_since.store(0, Ordering::Relaxed);
            progress.behind_since.store(0, Ordering::Relaxed);
        }
        polled
    }
}

//! Ends connections whose reader has stopped.
//!
//! The server polls a WebSocket actor only while its socket takes more, so a reader that stops freezes the actor with
//! its timers: it cannot notice by itself. Every connection therefore leaves a mark when it hands bytes to its socket
//! and clears it when it is polled again with nothing to say. A mark that stays is a reader that has stopped. A second mark
//! is left with the first bytes only: when that one stays, the reader reads but does not catch up, and its session can still
//! tell it so.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use slog::{Logger, info};

use crate::system::failpoints;
use crate::system::failpoints::Failpoint;
use crate::telemetry::metrics::Metrics;

/// How often the marks are looked at. Their time is counted in these ticks, so leaving one reads no clock.
const TICK: Duration = Duration::from_millis(500);

/// A reader that reads is given this many times the patience to catch up: what it has yet to read comes in fewer and larger
/// frames than what is new, so whoever can follow at all does so long before.
const CATCH_UP_TIMES: u32 = 4;

/// What a connection lives by: it can be cut from outside, which ends the connection as if its peer had gone.
#[derive(Debug, Default)]
pub struct Lifeline {
    is_cut: AtomicBool,
    waiting: AtomicWaker,
}

impl Lifeline {
    /// Ends the connection.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.waiting.wake();
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// The same, for a connection that cannot go on and is woken when it is.
    pub fn is_cut_while_waiting(&self, cx: &Context<'_>) -> bool {
        self.waiting.register(cx.waker());
        self.is_cut()
    }
}

/// The mark of one connection.
#[derive(Debug)]
pub struct Pulse {
    /// The tick in which bytes were handed out that the socket has not asked beyond; 0 when there are none.
    handed_out_at: AtomicU32,
    /// The tick since which there has always been something to say; 0 when there is nothing.
    behind_since: AtomicU32,
    lifeline: Option<Arc<Lifeline>>,
    tick: Arc<AtomicU32>,
    patience: u32,
}

/// How a reader that has not stopped keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// Nothing waits for it.
    #[default]
    KeepsUp,
    /// Something does.
    Behind,
    /// Something has for too long.
    TooSlow,
}

impl Pulse {
    /// How the reader keeps up, for its session, which is asked nothing while the reader does not read.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let since = self.behind_since.load(Ordering::Relaxed);
        let behind = self.tick.load(Ordering::Relaxed).wrapping_sub(since);
        match since {
            0 => Reader::KeepsUp,
            _ if behind <= self.patience.saturating_mul(CATCH_UP_TIMES) => Reader::Behind,
            _ => Reader::TooSlow,
        }
    }

    /// Wraps the output of the connection, so that it leaves marks.
    pub fn watch<S>(self: Arc<Self>, output: S) -> Watched<S> {
        Watched { output, pulse: self }
    }
}

/// Looks at the marks of all connections.
#[derive(Debug)]
pub struct Watchdog {
    pulses: Mutex<Vec<Weak<Pulse>>>,
    tick: Arc<AtomicU32>,
    patience: u32,
}

impl Watchdog {
    /// A watchdog that ends connections which have not taken what they were given for `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Arc<Self> {
        let ticks = patience.as_millis().div_ceil(TICK.as_millis());
        let patience = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        Arc::new(Self { pulses: Mutex::default(), tick: Arc::new(AtomicU32::new(1)), patience })
    }

    /// Begins to watch a connection, whose lifeline is cut if it must be.
    pub fn pulse(&self, lifeline: Option<Arc<Lifeline>>) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            handed_out_at: AtomicU32::new(0),
            behind_since: AtomicU32::new(0),
            lifeline,
            tick: Arc::clone(&self.tick),
            patience: self.patience,
        });
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&pulse));
        pulse
    }

    /// Looks for ever.
    pub async fn run(self: Arc<Self>, metrics: Arc<Metrics>, log: Logger) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let ended = self.look();
            if ended > 0 {
                metrics.session.slow_consumer_closes.inc_by(u64::try_from(ended).unwrap_or(0));
                info!(log, "connections ended because their reader stopped"; "count" => ended);
            }
        }
    }

    fn look(&self) -> usize {
        failpoints::hit(Failpoint::WatchdogLook, "");
        let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut ended = 0;
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            let since = pulse.handed_out_at.load(Ordering::Relaxed);
            if since == 0 || now.wrapping_sub(since) <= self.patience {
                return true;
            }
            ended += 1;
            if let Some(lifeline) = &pulse.lifeline {
                lifeline.cut();
            }
            false
        });
        ended
    }
}

/// The output of a connection, leaving marks.
#[derive(Debug)]
pub struct Watched<S> {
    output: S,
    pulse: Arc<Pulse>,
}

impl<S, E> Stream for Watched<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = Pin::new(&mut self.output).poll_next(cx);
        let pulse = &self.pulse;
        if matches!(polled, Poll::Ready(Some(_))) {
            let now = pulse.tick.load(Ordering::Relaxed);
            pulse.handed_out_at.store(now, Ordering::Relaxed);
            if pulse.behind_since.load(Ordering::Relaxed) == 0 {
                pulse.behind_since.store(now, Ordering::Relaxed);
            }
        } else {
            pulse.handed_out_at.store(0, Ordering::Relaxed);
            pulse.behind_since.store(0, Ordering::Relaxed);
        }
        polled
    }
}

//! What everybody in the torture shares: where the server is, what the model said, what was counted and what was broken.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::judge::Violation;
use super::judge::rules::second_request;
use super::support::lock;

/// Most violations that are kept with their details; the others are only counted.
const MAX_VIOLATIONS: usize = 200;

/// The shared state of a run.
#[derive(Debug)]
pub(crate) struct World {
    /// Decides everything that chance decides.
    pub(crate) seed: u64,
    /// Where the server listens in all of its lives.
    pub(crate) address: SocketAddr,
    began: Instant,
    ends: Instant,
    losses: AtomicU64,
    hangs: AtomicU64,
    ledger: Mutex<HashMap<String, Asked>>,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    violations: Mutex<Vec<String>>,
}

/// What became of a question at the model.
#[derive(Debug, Default)]
struct Asked {
    /// Each attempt: the words of it, and whether the model's server fails in it.
    attempts: Vec<(usize, bool)>,
    /// How often the server had been stopped at the last attempt: one that was stopped sees its model's server as silent.
    hangs: u64,
    /// A visitor was told that the question is stored.
    durable: bool,
    /// How often it was sent.
    sent: usize,
    /// It was known to be stored when it was sent the last time.
    was_durable: bool,
}

impl World {
    /// Begins now and lasts so long.
    pub(crate) fn new(seed: u64, address: SocketAddr, lasts: Duration) -> Self {
        let began = Instant::now();
        Self {
            seed,
            address,
            began,
            ends: began + lasts,
            losses: AtomicU64::new(0),
            hangs: AtomicU64::new(0),
            ledger: Mutex::default(),
            counts: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// How long it still lasts.
    pub(crate) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// The server ended without writing all that it had to write.
    pub(crate) fn lose(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// The server is stopped for a while.
    pub(crate) fn hang(&self) {
        self.hangs.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it did.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// The model is asked; returns the number of the attempt, from 1. `plan` says how many words the attempt of this number
    /// has and whether the model's server fails in it.
    pub(crate) fn ask(&self, key: &str, plan: impl FnOnce(usize) -> (usize, bool)) -> usize {
        let mut ledger = lock(&self.ledger);
        let asked = ledger.entry(key.to_owned()).or_default();
        let number = asked.attempts.len() + 1;
        let hangs = self.hangs.load(Ordering::SeqCst);
        let was_stopped = std::mem::replace(&mut asked.hangs, hangs) != hangs;
        if let Some((_, faulty)) = asked.attempts.last()
            && let Err(violation) =
                second_request(*faulty || was_stopped, asked.was_durable || asked.sent < number, key)
        {
            self.report("upstream", &violation);
        }
        asked.attempts.push(plan(number));
        number
    }

    /// A visitor sends a question, perhaps once more. What they are told from now on may be of what comes of it this time.
    pub(crate) fn send(&self, key: &str) {
        let mut ledger = lock(&self.ledger);
        let asked = ledger.entry(key.to_owned()).or_default();
        asked.sent += 1;
        asked.was_durable = asked.durable;
    }

    /// A visitor was told that this question is stored.
    pub(crate) fn is_durable(&self, key: &str) {
        lock(&self.ledger).entry(key.to_owned()).or_default().durable = true;
    }

    /// The words of an attempt, if the model gives them all.
    pub(crate) fn planned(&self, key: &str, attempt: usize) -> Option<usize> {
        let ledger = lock(&self.ledger);
        let (words, faulty) = ledger.get(key)?.attempts.get(attempt.checked_sub(1)?)?;
        (!faulty).then_some(*words)
    }

    /// Counts something under a heading of the report.
    pub(crate) fn count(&self, heading: &'static str, what: &str) {
        self.add(heading, what, 1);
    }

    /// Counts several at once.
    pub(crate) fn add(&self, heading: &'static str, what: &str, many: usize) {
        let many = u64::try_from(many).unwrap_or(u64::MAX);
        *lock(&self.counts).entry((heading, what.to_owned())).or_default() += many;
    }

    /// A promise was not kept.
    pub(crate) fn report(&self, whom: &str, violation: &Violation) {
        self.count("violations", violation.rule);
        let mut violations = lock(&self.violations);
        if violations.len() < MAX_VIOLATIONS {
            let after = self.began.elapsed();
            violations.push(format!("{after:.1?} {whom}: {}: {}", violation.rule, violation.detail));
        }
    }

    /// The report in lines, and whether every promise was kept.
    pub(crate) fn told(&self) -> (Vec<String>, bool) {
        let counts = lock(&self.counts);
        let mut by_heading: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
        for ((heading, what), count) in &*counts {
            let (sum, parts) = by_heading.entry(heading).or_default();
            *sum += count;
            parts.push(format!("{what} {count}"));
        }
        let mut lines: Vec<String> = by_heading
            .iter()
            .map(|(heading, (sum, parts))| format!("{heading}: {sum} ({})", parts.join(", ")))
            .collect();
        let violations = lock(&self.violations);
        if violations.is_empty() {
            lines.push("violations: 0".to_owned());
        }
        lines.extend(violations.iter().cloned());
        (lines, violations.is_empty())
    }
}

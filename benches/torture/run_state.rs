//! What everybody in the torture shares: where the server is, what the model said, what was counted
//! and what was broken.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resume_chatbot::clock::Timestamp;
use serde_json::json;

use super::oracle::Violation;
use super::oracle::request_log::{Attempts, Stops};
use super::support::lock;
use super::support::server::test_server::Server;

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
    stops: AtomicU64,
    continued: AtomicU64,
    ledger: Mutex<HashMap<String, Attempts>>,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    violations: Mutex<Vec<String>>,
    /// Where the server's log is kept, with the violations between.
    log: Option<File>,
}

impl World {
    /// Begins now and lasts so long.
    pub(crate) fn new(seed: u64, address: SocketAddr, lasts: Duration, log: Option<File>) -> Self {
        let began = Instant::now();
        Self {
            seed,
            address,
            began,
            ends: began + lasts,
            losses: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            continued: AtomicU64::new(0),
            ledger: Mutex::default(),
            counts: Mutex::default(),
            violations: Mutex::default(),
            log,
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

    /// The server is going to be stopped for a while.
    pub(crate) fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }

    /// The server goes on.
    pub(crate) fn go_on(&self) {
        self.continued.fetch_add(1, Ordering::SeqCst);
    }

    /// How often the server ended without writing all that it had to write.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// The model is asked; returns the number of the attempt, from 1. `plan` says how many words
    /// the attempt of this number has and whether the model's server fails in it.
    pub(crate) fn ask(&self, key: &str, plan: impl FnOnce(usize) -> (usize, bool)) -> usize {
        let stops =
            Stops { begun: self.stops.load(Ordering::SeqCst), over: self.continued.load(Ordering::SeqCst) };
        let (number, verdict) = lock(&self.ledger).entry(key.to_owned()).or_default().make(
            key,
            self.began.elapsed(),
            stops,
            plan,
        );
        if let Err(violation) = verdict {
            self.report("upstream", &violation);
        }
        number
    }

    /// A visitor sends a question, perhaps once more.
    pub(crate) fn send(&self, key: &str) {
        lock(&self.ledger).entry(key.to_owned()).or_default().send();
    }

    /// A visitor was told that this question is stored.
    pub(crate) fn is_durable(&self, key: &str) {
        lock(&self.ledger).entry(key.to_owned()).or_default().is_durable();
    }

    /// The words of an attempt, if the model gives them all.
    pub(crate) fn planned(&self, key: &str, attempt: usize) -> Option<usize> {
        lock(&self.ledger).get(key)?.planned(attempt)
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
            let line = format!("{after:.1?} {whom}: {}: {}", violation.rule, violation.detail);
            self.write_down(&[json!({"ts": Timestamp::now(), "broken": line})]);
            violations.push(line);
        }
    }

    /// Keeps what the server wrote in the life that has ended.
    pub(crate) fn keep_log(&self, server: &Server) {
        self.write_down(&server.logs());
    }

    fn write_down(&self, lines: &[impl Display]) {
        let Some(mut log) = self.log.as_ref() else { return };
        for line in lines {
            writeln!(log, "{line}").unwrap_or_else(|error| panic!("the log cannot be written: {error}"));
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

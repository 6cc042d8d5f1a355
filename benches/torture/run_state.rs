//! The shared state of a run: the server address, the requests to the model, counts and violations.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resume_chatbot::domain::clock::Timestamp;
use serde_json::json;

use super::oracle::Violation;
use super::oracle::request_log::{Pauses, PlannedAttempt, RequestLog};
use super::support::lock;
use super::support::server::test_server::Server;

/// How many violations are kept with their details. Further ones are only counted.
const MAX_VIOLATIONS: usize = 200;

/// The shared state of a run.
#[derive(Debug)]
pub(crate) struct RunState {
    /// The seed of all random choices.
    pub(crate) seed: u64,
    /// The address of the server, the same after every restart.
    pub(crate) address: SocketAddr,
    began: Instant,
    ends: Instant,
    losses: AtomicU64,
    pauses_begun: AtomicU64,
    pauses_over: AtomicU64,
    /// The requests to the model, by the key of the question.
    requests: Mutex<HashMap<String, RequestLog>>,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    violations: Mutex<Vec<String>>,
    /// Receives the log of the server, interleaved with the violations.
    log: Option<File>,
}

impl RunState {
    /// Creates the state of a run that begins now and lasts for `duration`.
    pub(crate) fn new(seed: u64, address: SocketAddr, duration: Duration, log: Option<File>) -> Self {
        let began = Instant::now();
        Self {
            seed,
            address,
            began,
            ends: began + duration,
            losses: AtomicU64::new(0),
            pauses_begun: AtomicU64::new(0),
            pauses_over: AtomicU64::new(0),
            requests: Mutex::default(),
            counts: Mutex::default(),
            violations: Mutex::default(),
            log,
        }
    }

    /// Returns whether the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns the remaining time.
    pub(crate) fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Records that the server ended without writing everything, so that data may be lost.
    pub(crate) fn record_loss(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how often the server has ended without writing everything.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// Records that the server process is about to be paused.
    pub(crate) fn record_pause(&self) {
        self.pauses_begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Records that the server process continues.
    pub(crate) fn record_continue(&self) {
        self.pauses_over.fetch_add(1, Ordering::SeqCst);
    }

    /// Records a request to the model, and reports one that nothing explains. Returns the number of
    /// the attempt, from 1. `plan` receives that number and chooses the answer.
    pub(crate) fn record_request(&self, key: &str, plan: impl FnOnce(usize) -> PlannedAttempt) -> usize {
        let pauses = Pauses {
            begun: self.pauses_begun.load(Ordering::SeqCst),
            over: self.pauses_over.load(Ordering::SeqCst),
        };
        let mut requests = lock(&self.requests);
        let log = requests.entry(key.to_owned()).or_default();
        let (number, result) = log.record_request(key, self.began.elapsed(), pauses, plan);
        drop(requests);
        if let Err(violation) = result {
            self.report("upstream", &violation);
        }
        number
    }

    /// Records that a visitor sends a question, possibly again.
    pub(crate) fn record_sent_question(&self, key: &str) {
        lock(&self.requests).entry(key.to_owned()).or_default().record_sent();
    }

    /// Records that the server has confirmed the question as stored.
    pub(crate) fn record_durable_question(&self, key: &str) {
        lock(&self.requests).entry(key.to_owned()).or_default().record_durable();
    }

    /// Returns the number of words of an attempt, or `None` if the model fails in it.
    pub(crate) fn planned_words(&self, key: &str, attempt: usize) -> Option<usize> {
        lock(&self.requests).get(key)?.planned_words(attempt)
    }

    /// Adds one to a count under a heading of the report.
    pub(crate) fn count(&self, heading: &'static str, name: &str) {
        self.add(heading, name, 1);
    }

    /// Adds to a count under a heading of the report.
    pub(crate) fn add(&self, heading: &'static str, name: &str, amount: usize) {
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        *lock(&self.counts).entry((heading, name.to_owned())).or_default() += amount;
    }

    /// Reports a violation, with the visitor or part of the server that it concerns.
    pub(crate) fn report(&self, subject: &str, violation: &Violation) {
        self.count("violations", violation.rule);
        let mut violations = lock(&self.violations);
        if violations.len() < MAX_VIOLATIONS {
            let after = self.began.elapsed();
            let line = format!("{after:.1?} {subject}: {}: {}", violation.rule, violation.detail);
            self.write_log(&[json!({"ts": Timestamp::now(), "violation": line})]);
            violations.push(line);
        }
    }

    /// Appends the log of the server since its last start.
    pub(crate) fn save_server_log(&self, server: &Server) {
        self.write_log(&server.logs());
    }

    fn write_log(&self, lines: &[impl Display]) {
        let Some(mut log) = self.log.as_ref() else { return };
        for line in lines {
            writeln!(log, "{line}").unwrap_or_else(|error| panic!("the log cannot be written: {error}"));
        }
    }

    /// Returns the lines of the report, and whether there are no violations.
    pub(crate) fn report_lines(&self) -> (Vec<String>, bool) {
        let counts = lock(&self.counts);
        let mut by_heading: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
        for ((heading, name), count) in &*counts {
            let (sum, parts) = by_heading.entry(heading).or_default();
            *sum += count;
            parts.push(format!("{name} {count}"));
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

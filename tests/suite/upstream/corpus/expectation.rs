//! What a file of the corpus expects, and the comparison with what was found.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde_json::Value;

use crate::support::client::answer::Answer;
use crate::support::upstream::request::Request;

/// What the visitor, the metrics and the log must say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// The text of the answer.
    #[serde(default)]
    text: String,
    /// Where the answer comes from: `live` or `excerpts`. An answer that did not fail is `live` by
    /// default. The text of excerpts is not compared.
    mode: Option<String>,
    #[serde(default = "complete")]
    status: String,
    /// The code of the error.
    code: Option<String>,
    retryable: Option<bool>,
    /// The least and the greatest number of seconds after which the visitor should ask again.
    retry_after: Option<[f64; 2]>,
    usage: Option<UsageExpectation>,
    /// The model in `done`.
    model: Option<String>,
    /// The number of completion requests.
    #[serde(default = "one")]
    requests: usize,
    /// The kinds of oddities that are counted, and no others.
    ignored: Option<Vec<String>>,
    /// Texts that occur in the log.
    #[serde(default)]
    log: Vec<String>,
    /// Texts that occur in no frame to the visitor.
    #[serde(default)]
    hidden: Vec<String>,
    /// Texts that do not occur in the log.
    #[serde(default)]
    not_logged: Vec<String>,
    /// Types of frames that occur within the answer, such as `reset`.
    #[serde(default)]
    frames: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageExpectation {
    prompt: Option<u64>,
    completion: Option<u64>,
    /// At least this many tokens of the prompt, where the server counts them itself.
    prompt_at_least: Option<u64>,
    completion_at_least: Option<u64>,
    cost: Option<f64>,
    estimated: Option<bool>,
}

/// What a request must look like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RequestExpectation {
    /// Fields that the body has.
    has: Vec<String>,
    /// Fields that the body does not have.
    lacks: Vec<String>,
    first_role: Option<String>,
    /// Roles that no message has.
    no_role: Vec<String>,
    /// Whether roles alternate after the system prompt.
    alternates: bool,
    /// Headers and their values.
    headers: BTreeMap<String, String>,
}

fn complete() -> String {
    "complete".to_owned()
}

fn one() -> usize {
    1
}

/// What was found.
pub(super) struct Found {
    pub(super) answer: Answer,
    /// All frames of the connection, as text.
    pub(super) frames: String,
    pub(super) logs: Vec<String>,
    /// The kinds of oddities that were counted.
    pub(super) ignored: Vec<String>,
    pub(super) requests: Vec<Request>,
}

/// The differences between expected and found, one line each.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, what: &str, expected: T, found: T) {
        self.check(expected == found, || format!("{what}: expected {expected:?}, found {found:?}"));
    }

    fn compare_if_given<T: PartialEq + Debug>(&mut self, what: &str, expected: Option<T>, found: Option<T>) {
        if expected.is_some() {
            self.compare(what, expected, found);
        }
    }

    fn check(&mut self, holds: bool, difference: impl FnOnce() -> String) {
        if !holds {
            self.0.push(difference());
        }
    }
}

impl Expectation {
    /// Compares with what was found.
    pub(super) fn differences(&self, found: &Found) -> Vec<String> {
        let mut differences = Differences::default();
        self.compare_answer(&found.answer, &mut differences);
        if let Some(usage) = &self.usage {
            usage.compare(&found.answer.done, &mut differences);
        }
        differences.compare("requests", self.requests, found.requests.len());
        differences.compare_if_given("ignored", self.ignored.clone(), Some(found.ignored.clone()));
        let is_logged = |text: &String| found.logs.iter().any(|line| line.contains(text.as_str()));
        for text in self.log.iter().filter(|text| !is_logged(text)) {
            let causes: Vec<_> = found.logs.iter().filter(|line| line.contains("\"cause\"")).collect();
            differences.check(false, || format!("log: nothing with {text:?}; causes: {causes:?}"));
        }
        for text in self.not_logged.iter().filter(|text| is_logged(text)) {
            differences.check(false, || format!("log: {text:?} is logged"));
        }
        for text in self.hidden.iter().filter(|text| found.frames.contains(text.as_str())) {
            differences.check(false, || format!("frames: the visitor sees {text:?}"));
        }
        differences.0
    }

    fn compare_answer(&self, answer: &Answer, differences: &mut Differences) {
        let has_failed = self.status == "failed";
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        if self.mode.as_deref() != Some("excerpts") {
            differences.compare("text", self.text.as_str(), answer.text.as_str());
        }
        differences.compare("status", self.status.as_str(), answer.status());
        let mode = self.mode.clone().or_else(|| (!has_failed).then(|| "live".to_owned()));
        differences.compare_if_given("mode", mode, text(&answer.done["mode"]));
        differences.compare_if_given("model", self.model.clone(), text(&answer.done["model"]));
        differences.check(has_failed || answer.error.is_null(), || format!("error: {}", answer.error));
        differences.compare_if_given("code", self.code.clone(), text(&answer.error["code"]));
        let retryable = answer.error["retryable"].as_bool();
        differences.compare_if_given("retryable", self.retryable, retryable);
        if let Some([least, most]) = self.retry_after {
            let seconds = answer.error["retry_after_ms"].as_f64().map(|ms| ms / 1000.0);
            let is_within = seconds.is_some_and(|seconds| (least..=most).contains(&seconds));
            differences.check(is_within, || format!("retry_after: {least} to {most} s, found {seconds:?}"));
        }
        let kinds: Vec<_> = answer.other_frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
        for kind in self.frames.iter().filter(|kind| !kinds.contains(&kind.as_str())) {
            differences.check(false, || format!("frames: no {kind}, found {kinds:?}"));
        }
    }
}

impl UsageExpectation {
    fn compare(&self, done: &Value, differences: &mut Differences) {
        let usage = &done["usage"];
        let (prompt, completion) = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
        differences.compare_if_given("prompt tokens", self.prompt, prompt);
        differences.compare_if_given("completion tokens", self.completion, completion);
        for (what, least, found) in
            [("prompt", self.prompt_at_least, prompt), ("completion", self.completion_at_least, completion)]
        {
            let holds = least.is_none() || found >= least;
            differences
                .check(holds, || format!("{what} tokens: expected at least {least:?}, found {found:?}"));
        }
        differences.compare_if_given("cost", self.cost, usage["cost"].as_f64());
        let is_estimated = done["usage_estimated"].as_bool().unwrap_or_default();
        differences.compare_if_given("usage_estimated", self.estimated, Some(is_estimated));
    }
}

impl RequestExpectation {
    /// Compares with the request that was answered.
    pub(super) fn differences(&self, number: usize, request: &Request) -> Vec<String> {
        let mut differences = Differences::default();
        let body = &request.body;
        let roles: Vec<_> =
            request.messages().iter().filter_map(|message| message["role"].as_str()).collect();
        for field in self.has.iter().filter(|field| body.get(field.as_str()).is_none()) {
            differences.check(false, || format!("request {number}: there is no {field}"));
        }
        for field in self.lacks.iter().filter(|field| body.get(field.as_str()).is_some()) {
            differences.check(false, || format!("request {number}: there is {field}"));
        }
        let what = format!("request {number}: first role");
        differences.compare_if_given(&what, self.first_role.as_deref(), roles.first().copied());
        for role in self.no_role.iter().filter(|role| roles.contains(&role.as_str())) {
            differences.check(false, || format!("request {number}: a message has the role {role}"));
        }
        if self.alternates {
            let spoken: Vec<_> = roles.iter().filter(|role| **role != "system").collect();
            let alternate = spoken.windows(2).all(|pair| pair.first() != pair.last());
            let begins_with_user = spoken.first().is_none_or(|role| **role == "user");
            let what = || format!("request {number}: the roles do not alternate: {roles:?}");
            differences.check(alternate && begins_with_user, what);
        }
        for (name, value) in &self.headers {
            let what = format!("request {number}: {name}");
            differences.compare(&what, Some(value), request.headers.get(&name.to_lowercase()));
        }
        differences.0
    }
}

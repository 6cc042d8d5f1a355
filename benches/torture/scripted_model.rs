//! The scripted model: it answers in words that identify themselves, or fails in one of several
//! ways.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::numbered_words::{find_key, word};
use super::oracle::request_log::PlannedAttempt;
use super::random::Random;
use super::run_state::RunState;
use super::support::upstream::request::Request;
use super::support::upstream::script::Script;

/// The HTTP status codes of rejected requests.
const REJECTION_STATUSES: [u16; 4] = [400, 429, 500, 503];

/// A way in which the model answers or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerKind {
    Quick,
    Large,
    Slow,
    LengthLimit,
    ErrorEvent,
    ConnectionClosed,
    ConnectionReset,
    Truncated,
    Stalled,
    NoResponse,
    Rejected,
}

impl AnswerKind {
    /// Chooses a kind and a number of words.
    fn random(random: &mut Random) -> (Self, usize) {
        let short = 1 + random.below(60);
        match random.between(0, 100) {
            0..55 => (Self::Quick, short),
            55..67 => (Self::Large, 400 + random.below(1600)),
            67..76 => (Self::Slow, 5 + random.below(20)),
            76..80 => (Self::LengthLimit, short),
            80..84 => (Self::ErrorEvent, short),
            84..88 => (Self::ConnectionClosed, short),
            88..91 => (Self::ConnectionReset, short),
            91..93 => (Self::Truncated, short),
            93..95 => (Self::Stalled, short),
            95..96 => (Self::NoResponse, short),
            _ => (Self::Rejected, short),
        }
    }

    /// Returns whether the attempt fails.
    fn fails(self) -> bool {
        !matches!(self, Self::Quick | Self::Large | Self::Slow | Self::LengthLimit)
    }

    /// Returns the name in the report.
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Large => "large",
            Self::Slow => "slow",
            Self::LengthLimit => "length limit",
            Self::ErrorEvent => "error event",
            Self::ConnectionClosed => "connection closed",
            Self::ConnectionReset => "connection reset",
            Self::Truncated => "truncated",
            Self::Stalled => "stalled",
            Self::NoResponse => "no response",
            Self::Rejected => "rejected",
        }
    }

    /// Adds the timing and the failure of this kind to a script with `words` words.
    fn apply(self, script: Script, words: usize, random: &mut Random) -> Script {
        let fails_after = random.below(words + 1);
        let script = match self {
            Self::Quick => return script.every(Duration::from_millis(random.between(1, 20))),
            Self::Slow => return script.every(Duration::from_millis(random.between(100, 300))),
            Self::Large => return script,
            Self::LengthLimit => return script.finish("length").every(Duration::from_millis(2)),
            Self::NoResponse => return script.hang_before_headers(),
            Self::Rejected => {
                let status = REJECTION_STATUSES.get(random.below(REJECTION_STATUSES.len()));
                return Script::rejection(status.copied().unwrap_or(500), "scripted");
            }
            _ => script.every(Duration::from_millis(5)),
        };
        match self {
            Self::ErrorEvent => script.error_in_stream_after(fails_after, 502, "scripted"),
            Self::ConnectionClosed => script.drop_connection_after(fails_after),
            Self::ConnectionReset => script.reset_after(fails_after),
            Self::Truncated => script.end_after(fails_after).no_done(),
            _ => script.hang_after(fails_after),
        }
    }
}

/// Chooses the script for a request by the seed, the key of the question and the attempt.
pub(crate) fn choose_script(run: &Arc<RunState>, request: &Request) -> Script {
    let Some(key) = find_key(request.question()).map(ToOwned::to_owned) else {
        return Script::rejection(400, "there is no key in this question");
    };
    let mut chosen = None;
    let attempt = run.record_request(&key, |number| {
        let mut random = Random::new(run.seed, &format!("{key}a{number}"));
        let (kind, words) = AnswerKind::random(&mut random);
        chosen = Some((kind, words, random));
        PlannedAttempt { words, fails: kind.fails() }
    });
    let Some((kind, words, mut random)) = chosen else { return Script::new() };
    run.count("model answers", kind.name());
    let answer: Vec<String> = (0..words).map(|index| word(&key, attempt, index)).collect();
    let script = answer.iter().fold(Script::new(), |script, word| script.words(&[word]));
    kind.apply(script, words, &mut random)
}

//! What the scripted model does with a question: it answers in words that describe themselves, or
//! fails in one of its ways.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::numbered_words::{key_in, word};
use super::random::Random;
use super::run_state::World;
use super::support::upstream::request::Request;
use super::support::upstream::script::Script;

/// Chooses the script for a request, by the seed, the question and the attempt.
pub(crate) fn answer(world: &Arc<World>, request: &Request) -> Script {
    let Some(key) = key_in(request.question()).map(ToOwned::to_owned) else {
        return Script::rejection(400, "there is no key in this question");
    };
    let mut chosen = None;
    let attempt = world.ask(&key, |number| {
        let mut random = Random::of(world.seed, &format!("{key}a{number}"));
        let (kind, words, faulty) = kind_of(&mut random);
        chosen = Some((kind, words, random));
        (words, faulty)
    });
    let Some((kind, words, mut random)) = chosen else { return Script::new() };
    world.count("answers by the model", kind);
    let words_of_it: Vec<String> = (0..words).map(|place| word(&key, attempt, place)).collect();
    let script = words_of_it.iter().fold(Script::new(), |script, word| script.words(&[word]));
    let breaks = random.below(words + 1);
    match kind {
        "quick" => script.every(Duration::from_millis(random.between(1, 20))),
        "slow" => script.every(Duration::from_millis(random.between(100, 300))),
        "at its length" => script.finish("length").every(Duration::from_millis(2)),
        "error" => script.every(Duration::from_millis(5)).error_in_stream_after(breaks, 502, "scripted"),
        "dropped" => script.every(Duration::from_millis(5)).drop_connection_after(breaks),
        "reset" => script.every(Duration::from_millis(5)).reset_after(breaks),
        "cut short" => script.every(Duration::from_millis(5)).end_after(breaks).no_done(),
        "stalled" => script.every(Duration::from_millis(5)).hang_after(breaks),
        "never begun" => script.hang_before_headers(),
        "refused" => {
            let statuses = [400, 429, 500, 503];
            Script::rejection(statuses.get(random.below(statuses.len())).copied().unwrap_or(500), "scripted")
        }
        _ => script,
    }
}

/// The kind of an answer, its words, and whether the model's server fails in it.
fn kind_of(random: &mut Random) -> (&'static str, usize, bool) {
    let short = 1 + random.below(60);
    match random.between(0, 100) {
        0..55 => ("quick", short, false),
        55..67 => ("large", 400 + random.below(1600), false),
        67..76 => ("slow", 5 + random.below(20), false),
        76..80 => ("at its length", short, false),
        80..84 => ("error", short, true),
        84..88 => ("dropped", short, true),
        88..91 => ("reset", short, true),
        91..93 => ("cut short", short, true),
        93..95 => ("stalled", short, true),
        95..96 => ("never begun", short, true),
        _ => ("refused", short, true),
    }
}

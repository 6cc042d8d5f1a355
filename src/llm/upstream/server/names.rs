//! Names of models: whether a listed name is the configured one, and which names are similar.

use strsim::levenshtein;

use crate::llm::upstream::server::kind::ServerKind;

/// The maximum number of names in a suggestion.
const MAX_SUGGESTIONS: usize = 3;

/// The edit distance up to which a name counts as misspelt, at least.
const MIN_DISTANCE: usize = 3;

/// Routing suffixes of OpenRouter, which its list of models does not repeat for every model
/// (<https://openrouter.ai/docs/features/model-routing>).
const OPENROUTER_SUFFIXES: [&str; 6] = ["nitro", "floor", "online", "exacto", "thinking", "extended"];

/// How closely a listed name matches the configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// The server accepts any name.
    Wildcard,
    /// The configured name is an alias of the listed one, such as one without a date.
    Alias,
    Exact,
}

/// Compares the configured name with one from the list of a server.
pub(crate) fn compare(asked: &str, listed: &str, kind: ServerKind) -> Option<Match> {
    if asked == listed {
        return Some(Match::Exact);
    }
    let is_alias = match kind {
        ServerKind::Ollama | ServerKind::LmStudio => {
            let listed = listed.to_lowercase();
            let asked = asked.to_lowercase();
            listed == asked || listed.strip_suffix(":latest").is_some_and(|base| base == asked)
        }
        ServerKind::OpenRouter => asked
            .rsplit_once(':')
            .is_some_and(|(base, suffix)| base == listed && OPENROUTER_SUFFIXES.contains(&suffix)),
        _ => false,
    };
    let is_alias = is_alias
        // Gemini lists `models/…`, and accepts names without it.
        || listed.strip_prefix("models/") == Some(asked)
        || asked.strip_prefix("models/") == Some(listed)
        || is_undated(asked, listed);
    let is_wildcard = || listed.strip_suffix('*').is_some_and(|front| asked.starts_with(front));
    is_alias.then_some(Match::Alias).or_else(|| is_wildcard().then_some(Match::Wildcard))
}

/// Returns whether `asked` is `listed` without its date or version, as in `mistral-small-latest`
/// for `mistral-small-2503`.
fn is_undated(asked: &str, listed: &str) -> bool {
    let stem = asked.strip_suffix("-latest").unwrap_or(asked);
    let Some(date) = listed.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let digits = date.chars().filter(char::is_ascii_digit).count();
    digits >= 4 && date.chars().all(|character| character.is_ascii_digit() || character == '-')
}

/// Returns the names that are most similar to `asked`, the best first. If the server has only a few
/// names, all of them count as similar.
pub(crate) fn nearest(asked: &str, names: &[String]) -> Vec<String> {
    let is_few = names.len() <= MAX_SUGGESTIONS;
    let asked = asked.to_lowercase();
    let max_distance = MIN_DISTANCE.max(asked.chars().count() / 3);
    let mut ranked: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (distance(&asked, &name.to_lowercase()), name))
        .filter(|(distance, _)| is_few || *distance <= max_distance)
        .collect();
    ranked.sort();
    ranked.dedup_by_key(|(_, name)| *name);
    ranked.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name.clone()).collect()
}

/// Returns the edit distance, also without the part in front of the last slash. A name that begins
/// with the other counts as misspelt.
fn distance(asked: &str, name: &str) -> usize {
    let tail = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let (asked_tail, name_tail) = (tail(asked), tail(name));
    let distance = levenshtein(asked, name).min(levenshtein(&asked_tail, &name_tail) + 1);
    let is_part = !asked_tail.is_empty()
        && !name_tail.is_empty()
        && (name_tail.starts_with(&asked_tail) || asked_tail.starts_with(&name_tail));
    if is_part { distance.min(MIN_DISTANCE) } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_of_each_server_match() {
        use Match::{Alias, Exact, Wildcard};
        for (kind, asked, listed, expected) in [
            (ServerKind::Other, "a", "a", Some(Exact)),
            (ServerKind::Other, "a", "A", None),
            (ServerKind::Ollama, "llama3.2", "llama3.2:latest", Some(Alias)),
            (ServerKind::Ollama, "llama3.2", "llama3.2:1b", None),
            (ServerKind::Other, "llama3.2", "llama3.2:latest", None),
            (ServerKind::LmStudio, "Qwen2-7B", "qwen2-7b", Some(Alias)),
            (ServerKind::Gemini, "gemini-2.0-flash", "models/gemini-2.0-flash", Some(Alias)),
            (ServerKind::OpenRouter, "a/b:nitro", "a/b", Some(Alias)),
            (ServerKind::OpenRouter, "a/b:free", "a/b", None),
            (ServerKind::Vllm, "a/b:nitro", "a/b", None),
            (ServerKind::Anthropic, "claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", Some(Alias)),
            (ServerKind::OpenAI, "gpt-4o", "gpt-4o-2024-08-06", Some(Alias)),
            (ServerKind::Other, "llama-3", "llama-3-8b", None),
            (ServerKind::LiteLlm, "openai/gpt-4o", "openai/*", Some(Wildcard)),
            (ServerKind::LiteLlm, "groq/x", "openai/*", None),
        ] {
            assert_eq!(compare(asked, listed, kind), expected, "{asked} as {listed} at {kind:?}");
        }
    }

    #[test]
    fn suggestions_are_similar_and_few() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let many = names(&["openai/gpt-4o", "openai/gpt-4o-mini", "meta/llama-3", "x/y", "z/w"]);
        assert_eq!(nearest("openai/gpt4o-mini", &many), ["openai/gpt-4o-mini"]);
        assert_eq!(nearest("gpt-4o-mini", &many), ["openai/gpt-4o-mini", "openai/gpt-4o"]);
        assert!(nearest("something-else-entirely", &many).is_empty());
        assert_eq!(nearest("something-else-entirely", &names(&["a", "b"])), ["a", "b"]);
        assert_eq!(nearest("a", &names(&["b", "c", "d", "e", "f"])).len(), 3);
        assert!(nearest("a", &[]).is_empty());
    }
}

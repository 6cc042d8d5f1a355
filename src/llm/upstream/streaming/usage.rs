//! What a response says about its usage, in the fields of each server.

use crate::llm::upstream::account::generation_cost::MAX_COST_DOLLARS;
use crate::llm::upstream::completion::ReportedUsage;
use crate::llm::upstream::json::Json;
use crate::telemetry::metrics::IgnoredField;

/// How much more than expected a plausible count may be: other vocabularies, templates and thinking
/// beyond the limit.
const MAX_FACTOR: u32 = 16;

/// The least upper bound of plausible counts: a gateway may add a long prompt of its own, and some
/// models think as long as they like.
const MIN_BOUND: u32 = 131_072;

/// What a request should use at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedUsage {
    /// Tokens of the prompt, by our own count.
    pub(crate) prompt_tokens: u32,
    /// The maximum number of tokens of the answer.
    pub(crate) completion_tokens: u32,
}

impl Default for ExpectedUsage {
    fn default() -> Self {
        Self { prompt_tokens: MIN_BOUND, completion_tokens: MIN_BOUND }
    }
}

/// The usage of a response that is being read. Later counts replace earlier ones, but zeros and
/// implausible values replace nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsageReader {
    usage: ReportedUsage,
    /// The sum, which some servers report without its parts, or with thinking that is in no part.
    total_tokens: Option<u32>,
}

impl UsageReader {
    /// Reads the usage in one message, wherever it is.
    pub(crate) fn read(
        &mut self,
        message: &Json,
        choice: Option<&Json>,
        expected: ExpectedUsage,
        mut ignore: impl FnMut(IgnoredField),
    ) {
        let places = [
            message.get("usage"),
            message.at(&["x_groq", "usage"]),
            choice.and_then(|choice| choice.get("usage")),
            // Ollama's own format has the counts at the top.
            (message.get("eval_count").is_some() || message.get("prompt_eval_count").is_some())
                .then_some(message),
        ];
        for usage in places.into_iter().flatten().filter(|usage| !usage.is_empty()) {
            if usage.is_object() {
                self.read_object(usage, expected, &mut ignore);
            } else {
                ignore(IgnoredField::Usage);
            }
        }
    }

    fn read_object(&mut self, usage: &Json, expected: ExpectedUsage, ignore: &mut impl FnMut(IgnoredField)) {
        let mut count = |names: &[&str], expected: u32| {
            let value = names.iter().find_map(|name| usage.get(name)).filter(|value| !value.is_empty())?;
            let bound = expected.saturating_mul(MAX_FACTOR).max(MIN_BOUND);
            match value.as_number().map(whole_tokens) {
                Some(Some(0)) => None,
                Some(Some(tokens)) if tokens <= bound => Some(tokens),
                Some(_) | None => {
                    ignore(IgnoredField::Usage);
                    None
                }
            }
        };
        let ExpectedUsage { prompt_tokens, completion_tokens } = expected;
        let prompt =
            count(&["prompt_tokens", "input_tokens", "prompt_eval_count", "promptTokens"], prompt_tokens);
        // Anthropic counts cached tokens apart from `input_tokens`.
        let is_anthropic = usage.get("prompt_tokens").is_none();
        let mut cached = |name| if is_anthropic { count(&[name], prompt_tokens) } else { None };
        let cached = [cached("cache_creation_input_tokens"), cached("cache_read_input_tokens")];
        let cached = cached.into_iter().flatten().fold(0, u32::saturating_add);
        let completion = count(
            &["completion_tokens", "output_tokens", "eval_count", "completionTokens"],
            completion_tokens,
        );
        let total = count(&["total_tokens"], prompt_tokens.saturating_add(completion_tokens));
        self.usage.prompt_tokens =
            prompt.map(|prompt| prompt.saturating_add(cached)).or(self.usage.prompt_tokens);
        self.usage.completion_tokens = completion.or(self.usage.completion_tokens);
        self.total_tokens = total.or(self.total_tokens);
        let cost = ["cost", "total_cost", "estimated_cost"].iter().find_map(|name| usage.get(name));
        if let Some(cost) = cost.filter(|cost| **cost != Json::Null) {
            match cost.get("total_cost").unwrap_or(cost).as_number() {
                Some(dollars) if (0.0..=MAX_COST_DOLLARS).contains(&dollars) => {
                    self.usage.cost = Some(dollars)
                }
                _ => ignore(IgnoredField::Cost),
            }
        }
    }

    /// Returns the usage of the whole response.
    pub(crate) fn report(&self) -> ReportedUsage {
        let mut usage = self.usage;
        if let (Some(prompt), Some(total)) = (usage.prompt_tokens, self.total_tokens) {
            // What the total has beyond the prompt was generated: xAI and Gemini leave thinking out
            // of `completion_tokens`.
            let generated = total.saturating_sub(prompt);
            usage.completion_tokens =
                usage.completion_tokens.max(Some(generated).filter(|tokens| *tokens > 0));
        } else if let (None, Some(completion), Some(total)) =
            (usage.prompt_tokens, usage.completion_tokens, self.total_tokens)
        {
            usage.prompt_tokens = Some(total.saturating_sub(completion)).filter(|tokens| *tokens > 0);
        }
        usage
    }
}

/// Rounds a number of tokens up. Returns `None` for a negative number and one that is too large.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "the value is checked to be in range"
)]
fn whole_tokens(number: f64) -> Option<u32> {
    let number = number.ceil();
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &[&str]) -> (Option<u32>, Option<u32>, Option<f64>, usize) {
        let (mut reader, mut ignored) = (UsageReader::default(), 0);
        for message in messages {
            let values = Json::read_all(message);
            reader.read(&values.values[0], None, ExpectedUsage::default(), |_| ignored += 1);
        }
        let ReportedUsage { prompt_tokens, completion_tokens, cost } = reader.report();
        (prompt_tokens, completion_tokens, cost, ignored)
    }

    #[test]
    fn usage_is_read_in_the_form_of_each_server() {
        for (message, expected) in [
            (
                r#"{"usage":{"prompt_tokens":42,"completion_tokens":7,"cost":0.5}}"#,
                (Some(42), Some(7), Some(0.5), 0),
            ),
            (
                r#"{"usage":{"prompt_tokens":42.0,"completion_tokens":"7","cost":"0.5"}}"#,
                (Some(42), Some(7), Some(0.5), 0),
            ),
            (r#"{"usage":{"input_tokens":42,"output_tokens":7}}"#, (Some(42), Some(7), None, 0)),
            (
                r#"{"usage":{"input_tokens":2,"cache_read_input_tokens":30,"cache_creation_input_tokens":10,"output_tokens":7}}"#,
                (Some(42), Some(7), None, 0),
            ),
            (
                r#"{"x_groq":{"usage":{"prompt_tokens":42,"completion_tokens":7}}}"#,
                (Some(42), Some(7), None, 0),
            ),
            (r#"{"done":true,"prompt_eval_count":42,"eval_count":7}"#, (Some(42), Some(7), None, 0)),
            (r#"{"usage":{"prompt_tokens":42,"total_tokens":49}}"#, (Some(42), Some(7), None, 0)),
            // Thinking that is only in the total.
            (
                r#"{"usage":{"prompt_tokens":42,"completion_tokens":7,"total_tokens":149}}"#,
                (Some(42), Some(107), None, 0),
            ),
            (
                r#"{"usage":{"prompt_tokens":42,"completion_tokens":7,"cost":{"total_cost":0.5}}}"#,
                (Some(42), Some(7), Some(0.5), 0),
            ),
            (
                r#"{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
                (None, None, None, 0),
            ),
            (r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1e12,"cost":-1}}"#, (None, None, None, 3)),
            (r#"{"usage":{"prompt_tokens":4294967295,"completion_tokens":[7]}}"#, (None, None, None, 2)),
            (r#"{"usage":"none"}"#, (None, None, None, 1)),
            (r#"{"usage":null}"#, (None, None, None, 0)),
        ] {
            assert_eq!(read(&[message]), expected, "{message}");
        }
    }

    #[test]
    fn zeros_do_not_erase_counts() {
        let counts = r#"{"usage":{"prompt_tokens":42,"completion_tokens":7,"cost":0.5}}"#;
        let zeros = r#"{"usage":{"prompt_tokens":0,"completion_tokens":0,"cost":null}}"#;
        assert_eq!(read(&[counts, zeros]), (Some(42), Some(7), Some(0.5), 0));
        assert_eq!(read(&[zeros, counts]), (Some(42), Some(7), Some(0.5), 0));
    }
}

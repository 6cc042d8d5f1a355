//! What one request used: what upstream reported, and this server's own count for the rest.

use crate::domain::turn::Usage;
use crate::llm::stream::snapshot::OpenRequest;
use crate::llm::upstream::completion::ReportedUsage;

/// The bytes of thinking that count as one token. The text is not kept, so that its tokens cannot
/// be counted.
const THINKING_BYTES_PER_TOKEN: usize = 4;

/// Returns the usage of a request.
///
/// `text_tokens` are the tokens of the text that it generated. Without a report, a request is free
/// if it generated nothing and upstream does not charge for it.
pub(crate) fn request_usage(
    request: OpenRequest,
    text_tokens: u32,
    reported: ReportedUsage,
    may_be_charged: bool,
) -> Usage {
    let thinking = request.thinking_bytes.div_ceil(THINKING_BYTES_PER_TOKEN);
    let generated = text_tokens.saturating_add(u32::try_from(thinking).unwrap_or(u32::MAX));
    let ReportedUsage { prompt_tokens, completion_tokens, cost } = reported;
    let has_tokens = prompt_tokens.is_some() || completion_tokens.is_some();
    // A server that counts nothing also reports no cost by it.
    let cost = cost.filter(|cost| has_tokens || *cost > 0.0);
    if !has_tokens && cost.is_none() && generated == 0 && !may_be_charged {
        return Usage::default();
    }
    let is_estimated = prompt_tokens.is_none() || completion_tokens.is_none();
    Usage {
        prompt_tokens: prompt_tokens.unwrap_or(request.prompt_tokens),
        completion_tokens: completion_tokens.unwrap_or(generated),
        cost,
        estimated_requests: is_estimated.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: OpenRequest = OpenRequest { prompt_tokens: 100, thinking_bytes: 0, has_text: true };

    fn reported(
        prompt_tokens: Option<u32>,
        completion_tokens: Option<u32>,
        cost: Option<f64>,
    ) -> ReportedUsage {
        ReportedUsage { prompt_tokens, completion_tokens, cost }
    }

    #[test]
    fn missing_parts_come_from_our_own_count() {
        let usage = |report| request_usage(REQUEST, 7, report, false);
        let counted = |prompt_tokens, completion_tokens, cost| Usage {
            prompt_tokens,
            completion_tokens,
            cost,
            estimated_requests: 1,
        };
        let whole = Usage { prompt_tokens: 90, completion_tokens: 9, cost: Some(0.0), estimated_requests: 0 };
        assert_eq!(usage(reported(Some(90), Some(9), Some(0.0))), whole);
        assert_eq!(usage(reported(Some(90), None, None)), counted(90, 7, None));
        assert_eq!(usage(reported(None, Some(9), None)), counted(100, 9, None));
        assert_eq!(usage(reported(None, None, Some(0.5))), counted(100, 7, Some(0.5)));
        assert_eq!(usage(reported(None, None, Some(0.0))), counted(100, 7, None));
        assert_eq!(usage(reported(None, None, None)), counted(100, 7, None));
    }

    #[test]
    fn thinking_counts_as_a_token_for_every_four_bytes() {
        let thinking = OpenRequest { thinking_bytes: 9, has_text: false, ..REQUEST };
        let usage = request_usage(thinking, 0, ReportedUsage::default(), false);
        assert_eq!(usage, Usage::from_own_count(100, 3));
        let usage = request_usage(thinking, 0, reported(None, Some(50), None), false);
        assert_eq!(usage, Usage::from_own_count(100, 50));
    }

    #[test]
    fn only_a_request_that_reported_and_generated_nothing_may_be_free() {
        let silent = OpenRequest { has_text: false, ..REQUEST };
        let usage = |report, may_be_charged| request_usage(silent, 0, report, may_be_charged);
        assert_eq!(usage(ReportedUsage::default(), false), Usage::default());
        assert_eq!(usage(reported(None, None, Some(0.0)), false), Usage::default());
        assert_eq!(usage(ReportedUsage::default(), true), Usage::from_own_count(100, 0));
        assert_eq!(usage(reported(Some(90), None, None), false), Usage::from_own_count(90, 0));
    }
}

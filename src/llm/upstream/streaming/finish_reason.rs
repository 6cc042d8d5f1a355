//! Why an answer ended, as servers spell it.

use crate::llm::upstream::json::Json;

/// The family of a finish reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// The model has said everything.
    Stop,
    /// The answer reached the token limit.
    Length,
    /// The content was refused.
    Refused,
    /// The server failed.
    Failed,
    /// A value that belongs to no known family. It proves nothing.
    Unknown,
}

/// Words that name the family, wherever they occur in the letters of a reason. The first that
/// occurs decides.
const WORDS: [(FinishReason, &[&str]); 3] = [
    (
        FinishReason::Length,
        &["length", "maxtoken", "maxoutput", "maxcompletion", "maxnewtoken", "tokenlimit", "contextwindow"],
    ),
    (
        FinishReason::Refused,
        &[
            "filter",
            "safety",
            "recitation",
            "blocklist",
            "blocked",
            "prohibited",
            "spii",
            "refus",
            "sensitive",
            "moderat",
            "guardrail",
            "policy",
            "toxic",
        ],
    ),
    (
        FinishReason::Failed,
        &[
            "error",
            "abort",
            "insufficient",
            "fail",
            "timeout",
            "cancel",
            "overload",
            "unavailable",
            "malformed",
            "exception",
        ],
    ),
];

/// The letters of the reasons that mean a whole answer. A call of a tool ends one as well.
const STOPS: [&str; 22] = [
    "stop",
    "stopped",
    "stopsequence",
    "stopstring",
    "stoptoken",
    "stopword",
    "eos",
    "eostoken",
    "eosfound",
    "endofsequence",
    "endofsentence",
    "endoftext",
    "endofturn",
    "endturn",
    "end",
    "complete",
    "completed",
    "finished",
    "toolcall",
    "toolcalls",
    "tooluse",
    "functioncall",
];

impl FinishReason {
    /// Returns the family of a reason, or `None` if the value gives none.
    pub(crate) fn parse(reason: &str) -> Option<Self> {
        // `FinishReason.STOP`, as Python formats an enum.
        let name = reason.rsplit('.').next().unwrap_or(reason);
        let letters: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        if letters.is_empty()
            || ["null", "none", "unspecified", "finishreasonunspecified"].contains(&letters.as_str())
        {
            return None;
        }
        if STOPS.contains(&letters.as_str()) {
            return Some(Self::Stop);
        }
        let named = WORDS.iter().find(|(_, words)| words.iter().any(|word| letters.contains(word)));
        Some(named.map_or(Self::Unknown, |(family, _)| *family))
    }
}

/// Returns the finish reason of a chunk as text. `Err` if it has one of another type.
pub(crate) fn of_choice<'a>(chunk: &'a Json, choice: Option<&'a Json>) -> Result<Option<&'a str>, ()> {
    let places = [
        choice.and_then(|choice| choice.get("finish_reason").or_else(|| choice.get("finishReason"))),
        choice.and_then(|choice| choice.at(&["delta", "finish_reason"])),
        choice.and_then(|choice| choice.at(&["message", "finish_reason"])),
        // Ollama's own format.
        chunk.get("done_reason"),
        chunk.get("finish_reason"),
    ];
    match places.into_iter().flatten().find(|value| !value.is_empty()) {
        Some(value) => value.as_str().map(Some).ok_or(()),
        None if chunk.get("done") == Some(&Json::Bool(true)) => Ok(Some("stop")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_map_by_family_whatever_their_case_and_spelling() {
        for (family, reasons) in [
            (
                Some(FinishReason::Stop),
                &[
                    "stop",
                    "STOP",
                    "eos",
                    "eos_token",
                    "end_turn",
                    "stop_sequence",
                    "COMPLETE",
                    "FinishReason.STOP",
                    "tool_calls",
                    "endTurn",
                ][..],
            ),
            (
                Some(FinishReason::Length),
                &[
                    "length",
                    "max_tokens",
                    "MAX_TOKENS",
                    "maxTokens",
                    "model_length",
                    "max_output_tokens",
                    "model_context_window_exceeded",
                ],
            ),
            (
                Some(FinishReason::Refused),
                &[
                    "content_filter",
                    "SAFETY",
                    "RECITATION",
                    "PROHIBITED_CONTENT",
                    "refusal",
                    "sensitive",
                    "ERROR_TOXIC",
                    "guardrail_intervened",
                    "BLOCKLIST",
                ],
            ),
            (
                Some(FinishReason::Failed),
                &[
                    "error",
                    "network_error",
                    "abort",
                    "aborted",
                    "insufficient_system_resource",
                    "MALFORMED_FUNCTION_CALL",
                    "cancelled",
                    "timeout",
                ],
            ),
            (Some(FinishReason::Unknown), &["OTHER", "ok", "x"]),
            (None, &["", " ", "null", "None", "FINISH_REASON_UNSPECIFIED"]),
        ] {
            for reason in reasons {
                assert_eq!(FinishReason::parse(reason), family, "{reason}");
            }
        }
    }
}

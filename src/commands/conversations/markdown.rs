//! Formats a conversation as Markdown that is also readable on a terminal.

use resume_chatbot::domain::turn::{AnswerMode, Rating, TurnStatus};
use resume_chatbot::persistence::records::{Feedback, StoredTurn};
use resume_chatbot::persistence::reports::ConversationSummary;

use super::super::output::{format_cost, format_count, replace_control_characters};

/// Formats the heading of a conversation.
pub(super) fn heading(conversation: &ConversationSummary) -> String {
    format!(
        "# Conversation {}\n\nStarted {}, last seen {}. {}, {} tokens, {}.\n\n",
        conversation.id,
        conversation.started_at.to_rfc3339(),
        conversation.last_seen_at.to_rfc3339(),
        format_count(conversation.questions, "question"),
        conversation.prompt_tokens.saturating_add(conversation.completion_tokens),
        conversation.cost.map_or_else(|| "cost unknown".to_owned(), |_| format_cost(conversation.cost)),
    )
}

/// Formats a question with its answer. Texts of the visitor and the model are block quotes, so that
/// no line of the text looks like a heading of the document.
pub(super) fn turn(turn: &StoredTurn) -> String {
    let mut page =
        format!("## {} Visitor\n\n{}\n", turn.asked_at.to_rfc3339(), block_quote(&turn.question.content));
    let (answered_at, answer) = match &turn.answer {
        Some(answer) => (answer.at.to_rfc3339() + " ", block_quote(&answer.content)),
        None => (String::new(), String::new()),
    };
    let source = match (&turn.model, turn.mode) {
        (Some(model), _) => format!(", {}", replace_control_characters(model)),
        (None, Some(AnswerMode::Excerpts)) => ", excerpts of the resume".to_owned(),
        (None, _) => String::new(),
    };
    let superseded = turn.superseded_by.map_or("", |_| ", regenerated below");
    let usage = &turn.usage;
    let estimated = if usage.is_estimated() { " (estimated)" } else { "" };
    page.push_str(&format!(
        "## {answered_at}Answer ({}{source}, {} + {} tokens{estimated}, {}{superseded})\n\n{answer}\n",
        status_text(turn.status),
        usage.prompt_tokens,
        usage.completion_tokens,
        format_cost(usage.cost),
    ));
    page.push_str(&turn.feedback.as_ref().map_or_else(String::new, feedback_text));
    page
}

fn feedback_text(feedback: &Feedback) -> String {
    let rating = match feedback.rating {
        Rating::Up => "The visitor found this helpful",
        Rating::Down => "The visitor found this not helpful",
    };
    match &feedback.comment {
        Some(comment) => format!("{rating}:\n\n{}\n", block_quote(comment)),
        None => format!("{rating}.\n\n"),
    }
}

fn status_text(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Answering => "not finished",
        other => other.as_str(),
    }
}

fn block_quote(text: &str) -> String {
    let mut quote = String::with_capacity(text.len() + text.len() / 16 + 4);
    for line in replace_control_characters(text).lines() {
        quote.push('>');
        if !line.is_empty() {
            quote.push(' ');
            quote.push_str(line);
        }
        quote.push('\n');
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_quoted_and_control_characters_are_replaced() {
        assert_eq!(block_quote("a\n\n## b\u{1b}[31m"), "> a\n>\n> ## b\u{fffd}[31m\n");
        assert_eq!(block_quote(""), "");
    }
}

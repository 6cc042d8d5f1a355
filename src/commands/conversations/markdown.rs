//! A conversation for people: Markdown that also reads well on a terminal.

use resume_chatbot::domain::turn::{AnswerMode, Rating, TurnStatus};
use resume_chatbot::persistence::records::{Feedback, StoredTurn};
use resume_chatbot::persistence::reports::ConversationSummary;

use super::super::page::{harmless, money};

/// What stands above a conversation.
pub(super) fn heading(it: &ConversationSummary) -> String {
    let counted = |count: i64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "# Conversation {}\n\nStarted {}, last seen {}. {}, {} tokens, {}.\n\n",
        it.id,
        it.started_at.to_rfc3339(),
        it.last_seen_at.to_rfc3339(),
        counted(it.questions, "question"),
        it.prompt_tokens.saturating_add(it.completion_tokens),
        it.cost.map_or_else(|| "no cost known".to_owned(), |_| money(it.cost)),
    )
}

/// One question with its answer. What was said is quoted, so that no line of it can pass for one of ours.
pub(super) fn turn(turn: &StoredTurn) -> String {
    let mut page =
        format!("## {} Visitor\n\n{}\n", turn.asked_at.to_rfc3339(), quoted(&turn.question.content));
    let (at, answer) = match &turn.answer {
        Some(answer) => (answer.at.to_rfc3339() + " ", quoted(&answer.content)),
        None => (String::new(), String::new()),
    };
    let by = match (&turn.model, turn.mode) {
        (Some(model), _) => format!(", {}", harmless(model)),
        (None, Some(AnswerMode::Excerpts)) => ", quotes of the resume".to_owned(),
        (None, _) => String::new(),
    };
    let replaced = turn.superseded_by.map_or("", |_| ", answered anew below");
    let usage = &turn.usage;
    page.push_str(&format!(
        "## {at}Answer ({}{by}, {} + {} tokens, {}{replaced})\n\n{answer}\n",
        said(turn.status),
        usage.prompt_tokens,
        usage.completion_tokens,
        money(usage.cost),
    ));
    page.push_str(&turn.feedback.as_ref().map_or_else(String::new, opinion));
    page
}

fn opinion(feedback: &Feedback) -> String {
    let rating = match feedback.rating {
        Rating::Up => "The visitor found this helpful",
        Rating::Down => "The visitor found this not helpful",
    };
    match &feedback.comment {
        Some(comment) => format!("{rating}:\n\n{}\n", quoted(comment)),
        None => format!("{rating}.\n\n"),
    }
}

fn said(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Answering => "not ended",
        other => other.as_str(),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 16 + 4);
    for line in harmless(text).lines() {
        quoted.push('>');
        if !line.is_empty() {
            quoted.push(' ');
            quoted.push_str(line);
        }
        quoted.push('\n');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_was_said_is_quoted() {
        assert_eq!(quoted("a\n\n## b\u{1b}[31m"), "> a\n>\n> ## b\u{fffd}[31m\n");
        assert_eq!(quoted(""), "");
    }
}

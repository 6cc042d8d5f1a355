//! The session that a connection serves, and the answer that it is receiving.

use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::domain::turn::AnswerMode;
use crate::llm::stream::generation::Generation;
use crate::llm::stream::outcome::Outcome;
use crate::session::state::conversation::{Conversation, OpenTurn};

/// The session that a connection serves.
pub struct OpenSession {
    id: SessionId,
    /// The history, the open turn and the limits of the session.
    pub conversation: Conversation,
    answer: Option<ActiveAnswer>,
    /// The mode that the client was informed of last.
    announced_mode: AnswerMode,
    is_reading_history: bool,
}

/// An answer whose progress is forwarded to the client.
#[derive(Debug)]
pub struct ActiveAnswer {
    generation: Arc<Generation>,
    context_pruned: bool,
    after: AfterAnswer,
}

/// What happens when the current answer has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterAnswer {
    /// The session waits for the next request.
    #[default]
    Continue,
    /// The conversation is deleted, as the visitor asked.
    DeleteConversation,
    /// The connection is closed, because the server shuts down.
    CloseForShutdown,
}

impl OpenSession {
    /// Returns a session without an active answer.
    #[must_use]
    pub fn new(id: SessionId, conversation: Conversation) -> Self {
        Self { id, conversation, answer: None, announced_mode: AnswerMode::Live, is_reading_history: false }
    }

    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Returns the epoch of this connection; see [`Conversation::epoch`].
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.conversation.epoch()
    }

    /// Returns how many more questions are allowed at `now`.
    pub fn remaining(&mut self, now: Timestamp) -> u32 {
        self.conversation.remaining(now)
    }

    /// Returns the answer that is being forwarded, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&ActiveAnswer> {
        self.answer.as_ref()
    }

    pub fn answer_mut(&mut self) -> Option<&mut ActiveAnswer> {
        self.answer.as_mut()
    }

    /// Begins to forward an answer. Its turn is open in the conversation already.
    pub fn set_answer(&mut self, answer: ActiveAnswer) {
        self.answer = Some(answer);
    }

    /// Removes the answer and closes its turn as answered.
    pub fn finish_answer(&mut self, outcome: &Outcome) -> Option<ActiveAnswer> {
        let answer = self.answer.take()?;
        self.conversation.finish_turn(answer.generation.text(), outcome.answer_tokens, outcome.usage);
        Some(answer)
    }

    /// Removes the answer and its turn, which was not accepted.
    pub fn withdraw_answer(&mut self) -> (Option<OpenTurn>, AfterAnswer) {
        let after = self.answer.take().map_or(AfterAnswer::Continue, |answer| answer.after);
        (self.conversation.withdraw_turn(), after)
    }

    /// Returns whether the answer has ended, but the client has not been informed of its end yet.
    #[must_use]
    pub fn has_unsent_end(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.generation.is_over())
    }

    /// Sets the mode that the client is informed of. Returns whether it has changed.
    pub fn announce_mode(&mut self, mode: AnswerMode) -> bool {
        std::mem::replace(&mut self.announced_mode, mode) != mode
    }

    /// Marks the start of a read of the transcript. Returns false if one is running already.
    #[must_use]
    pub fn begin_history_read(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reading_history, true)
    }

    pub fn end_history_read(&mut self) {
        self.is_reading_history = false;
    }

    /// Returns whether an answer is being forwarded or the transcript is being read.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.answer.is_some() || self.is_reading_history
    }
}

impl ActiveAnswer {
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        Self { generation, context_pruned: false, after: AfterAnswer::Continue }
    }

    /// Sets whether the prompt is the first that lacks the oldest messages of the conversation.
    #[must_use]
    pub fn with_context_pruned(self, context_pruned: bool) -> Self {
        Self { context_pruned, ..self }
    }

    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Returns whether the prompt is the first that lacks the oldest messages of the conversation.
    #[must_use]
    pub fn is_context_pruned(&self) -> bool {
        self.context_pruned
    }

    /// Returns what happens when the answer has ended.
    #[must_use]
    pub fn after(&self) -> AfterAnswer {
        self.after
    }

    /// Deletes the conversation when the answer has ended.
    pub fn delete_conversation_after(&mut self) {
        self.after = AfterAnswer::DeleteConversation;
    }

    /// Closes the connection when the answer has ended, unless the conversation is deleted then.
    pub fn close_after(&mut self) {
        if self.after == AfterAnswer::Continue {
            self.after = AfterAnswer::CloseForShutdown;
        }
    }
}

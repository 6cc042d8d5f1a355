//! `history`: sends a page of the transcript.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::LoadHistory;
use crate::persistence::records::{StoredMessage, StoredTurn, TranscriptPage};
use crate::protocol::MAX_HISTORY_LIMIT;
use crate::protocol::server::{HistoryMessage, ServerFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::replies::flatten_reply;
use crate::session::state::refusal::Refusal;

/// Whether a page is read for the first time for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadAttempt {
    First,
    Second,
}

impl SessionActor {
    pub(crate) fn history(&mut self, before: Option<TurnId>, limit: Option<usize>, ctx: &mut SocketContext) {
        let Some(session) = &mut self.session else {
            let refusal = Refusal::new(ErrorCode::ValidationError).with_message("There is no session yet.");
            return self.refuse(&refusal, None, ctx);
        };
        // One request at a time, because pages for a client that does not read would accumulate.
        if !session.begin_history_read() {
            return self.refuse_code(ErrorCode::Overloaded, None, ctx);
        }
        let limit = limit.unwrap_or(MAX_HISTORY_LIMIT);
        let load = LoadHistory { session_id: session.id(), before, limit };
        self.read_history(load, ReadAttempt::First, ctx);
    }

    fn read_history(&mut self, load: LoadHistory, attempt: ReadAttempt, ctx: &mut SocketContext) {
        let page = self.context.actors.load_history.ask(load, STORE_TIMEOUT);
        ctx.spawn(page.into_actor(self).map(move |page, actor, ctx| {
            match flatten_reply(page) {
                Ok(page) if attempt == ReadAttempt::First && actor.is_outdated(&page) => {
                    return actor.read_history(load, ReadAttempt::Second, ctx);
                }
                Ok(TranscriptPage { turns, has_more: more }) => {
                    let messages = turns.iter().flat_map(transcript_messages).collect();
                    actor.send(&ServerFrame::History { messages, more }, ctx);
                }
                Err(error) => actor.refuse_store_error(&error, None, ctx),
            }
            if let Some(session) = &mut actor.session {
                session.end_history_read();
            }
            actor.close_if_done(ctx);
        }));
    }

    /// Returns whether a page was read before the end of an answer that the client has been
    /// informed of since.
    fn is_outdated(&self, page: &TranscriptPage) -> bool {
        let current = self.answer().map(|answer| answer.generation().turn_id);
        let answering = page.turns.last().filter(|turn| turn.status == TurnStatus::Answering);
        answering.is_some_and(|turn| Some(turn.turn_id) != current)
    }
}

/// Returns the messages of a turn as clients see them.
pub(crate) fn transcript_messages(turn: &StoredTurn) -> impl Iterator<Item = HistoryMessage> + use<> {
    let message = |role, stored: &StoredMessage| HistoryMessage {
        turn_id: turn.turn_id,
        role,
        content: Arc::clone(&stored.content),
        tokens: stored.tokens,
        created_at: stored.at,
        status: turn.status,
        mode: turn.mode.filter(|_| role == Role::Assistant),
        superseded_by: turn.superseded_by,
        rating: turn.feedback.as_ref().filter(|_| role == Role::Assistant).map(|feedback| feedback.rating),
    };
    let question = message(Role::User, &turn.question);
    let answer = turn.answer.as_ref().filter(|answer| !answer.content.is_empty());
    std::iter::once(question).chain(answer.map(|answer| message(Role::Assistant, answer)))
}

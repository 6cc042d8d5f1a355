//! Reading turns with what was said in them and what the visitor thinks of it: one query, whichever turns are wanted.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{messages, turns};
use crate::persistence::messages::{FindTurn, LoadHistory};
use crate::persistence::records::{StoredTurn, TranscriptPage, TurnKey};

/// Most bytes of text in one page of a transcript. Turns that do not fit are on the next page.
const MAX_PAGE_BYTES: usize = 512 * 1024;

// The messages that are questions, and those that are answers.
diesel::alias! {
    pub(crate) const QUESTIONS: Alias<Questions> = messages as questions;
    pub(crate) const ANSWERS: Alias<Answers> = messages as answers;
}

/// The stored turns that a filter and an order leave.
macro_rules! stored_turns {
    ($connection:expr, |$turns:ident| $chosen:expr) => {{
        use $crate::persistence::db::models::{
            FEEDBACK_COLUMNS, FeedbackRow, MESSAGE_COLUMNS, MessageRow, TURN_COLUMNS, TurnRow,
        };
        use $crate::persistence::db::schema::{feedback, messages, turns};
        use $crate::persistence::queries::transcript::{ANSWERS, QUESTIONS};
        use $crate::domain::turn::Role;
        let its_question = QUESTIONS.field(messages::turn_id).eq(turns::id);
        let its_answer = ANSWERS.field(messages::turn_id).eq(turns::id);
        let $turns = turns::table
            .inner_join(
                QUESTIONS.on(its_question.and(QUESTIONS.field(messages::role).eq(Role::User.as_str()))),
            )
            .left_join(ANSWERS.on(its_answer.and(ANSWERS.field(messages::role).eq(Role::Assistant.as_str()))))
            .left_join(feedback::table.on(feedback::turn_id.eq(turns::id)))
            .select((
                TURN_COLUMNS,
                QUESTIONS.fields(MESSAGE_COLUMNS),
                ANSWERS.fields(MESSAGE_COLUMNS).nullable(),
                FEEDBACK_COLUMNS.nullable(),
            ));
        let chosen = $chosen;
        type Row = (TurnRow, MessageRow, Option<MessageRow>, Option<FeedbackRow>);
        let rows: Vec<Row> = on_either!($connection, link => chosen.load(link).await)?;
        let stored = rows.into_iter().map(|(turn, question, answer, feedback)| {
            turn.into_stored(question, answer, feedback)
        });
        stored.collect::<Vec<StoredTurn>>()
    }};
}
pub(crate) use stored_turns;

/// The newest turns before a point, oldest first.
pub(crate) async fn load_turns(connection: &mut Connection, it: &LoadHistory) -> QueryResult<TranscriptPage> {
    let of_session = turns::session_id.eq(Key(it.session_id.0));
    // Every UUID is at most the greatest one.
    let before = turns::id.lt(Key(it.before.map_or(uuid::Uuid::max(), |turn_id| turn_id.0)));
    let one_more = i64::try_from(it.limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut turns = stored_turns!(connection, |turns| {
        turns.filter(of_session).filter(before).order(turns::id.desc()).limit(one_more)
    });
    let found = turns.len();
    turns.truncate(it.limit.min(turns_in_a_page(&turns)));
    turns.reverse();
    Ok(TranscriptPage { more: found > turns.len(), turns })
}

/// How many of the newest turns fit; the newest one always does.
fn turns_in_a_page(newest_first: &[StoredTurn]) -> usize {
    let bytes = newest_first.iter().scan(0, |bytes, turn| {
        *bytes += turn.question.content.len() + turn.answer.as_ref().map_or(0, |it| it.content.len());
        Some(*bytes)
    });
    bytes.take_while(|bytes| *bytes <= MAX_PAGE_BYTES).count().max(1)
}

/// When the session's questions since a point were asked, in order.
pub(crate) async fn asked_since(
    connection: &mut Connection,
    session_id: SessionId,
    since: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    let times = turns::table
        .filter(turns::session_id.eq(Key(session_id.0)))
        .filter(turns::asked_at_ms.gt(since.0))
        .order(turns::id.asc())
        .select(turns::asked_at_ms);
    let times: Vec<i64> = on_either!(connection, link => times.load(link).await)?;
    Ok(times.into_iter().map(Timestamp).collect())
}

pub(crate) async fn find_turn(connection: &mut Connection, it: &FindTurn) -> QueryResult<Option<StoredTurn>> {
    let of_session = turns::session_id.eq(Key(it.session_id.0));
    let found = match &it.key {
        TurnKey::Turn(id) => {
            let turn = turns::id.eq(Key(id.0));
            stored_turns!(connection, |turns| turns.filter(of_session).filter(turn))
        }
        TurnKey::Client(id) => {
            let turn = turns::client_id.eq(id);
            stored_turns!(connection, |turns| turns.filter(of_session).filter(turn))
        }
    };
    Ok(found.into_iter().next())
}

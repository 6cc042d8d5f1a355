//! Reads turns with their messages and feedback, always with one query.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{messages, turns};
use crate::persistence::messages::{FindTurn, LoadHistory};
use crate::persistence::records::{StoredTurn, TranscriptPage, TurnKey};

/// The maximum size of the texts on one page of a transcript. Turns that do not fit are part of the
/// next page.
const MAX_PAGE_BYTES: usize = 512 * 1024;

// The table of messages, joined once for the question and once for the answer of a turn.
diesel::alias! {
    pub(crate) const QUESTIONS: Alias<Questions> = messages as questions;
    pub(crate) const ANSWERS: Alias<Answers> = messages as answers;
}

/// Loads turns. `$query` adds a filter, an order or a limit to the query `$turns`.
macro_rules! load_turns {
    ($connection:expr, |$turns:ident| $query:expr) => {{
        use $crate::persistence::db::models::{
            FEEDBACK_COLUMNS, FeedbackRow, MESSAGE_COLUMNS, MessageRow, TURN_COLUMNS, TurnRow,
        };
        use $crate::persistence::db::schema::{feedback, messages, turns};
        use $crate::persistence::queries::transcript::{ANSWERS, QUESTIONS};
        use $crate::domain::turn::Role;
        let is_question = QUESTIONS.field(messages::turn_id).eq(turns::id);
        let is_answer = ANSWERS.field(messages::turn_id).eq(turns::id);
        let $turns = turns::table
            .inner_join(
                QUESTIONS.on(is_question.and(QUESTIONS.field(messages::role).eq(Role::User.as_str()))),
            )
            .left_join(ANSWERS.on(is_answer.and(ANSWERS.field(messages::role).eq(Role::Assistant.as_str()))))
            .left_join(feedback::table.on(feedback::turn_id.eq(turns::id)))
            .select((
                TURN_COLUMNS,
                QUESTIONS.fields(MESSAGE_COLUMNS),
                ANSWERS.fields(MESSAGE_COLUMNS).nullable(),
                FEEDBACK_COLUMNS.nullable(),
            ));
        let query = $query;
        type Row = (TurnRow, MessageRow, Option<MessageRow>, Option<FeedbackRow>);
        let rows: Vec<Row> = run_statement!($connection, conn => query.load(conn).await)?;
        let turns = rows.into_iter().map(|(turn, question, answer, feedback)| {
            turn.into_record(question, answer, feedback)
        });
        turns.collect::<Vec<StoredTurn>>()
    }};
}
pub(crate) use load_turns;

/// Reads the newest turns of a session, oldest first.
pub(crate) async fn load_page(
    connection: &mut Connection,
    load: &LoadHistory,
) -> QueryResult<TranscriptPage> {
    let of_session = turns::session_id.eq(Key(load.session_id.0));
    // No turn has the maximum UUID, so this condition is always true if there is no bound.
    let before = turns::id.lt(Key(load.before.map_or(uuid::Uuid::max(), |turn_id| turn_id.0)));
    let one_more = i64::try_from(load.limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut turns = load_turns!(connection, |turns| {
        turns.filter(of_session).filter(before).order(turns::id.desc()).limit(one_more)
    });
    let found = turns.len();
    turns.truncate(load.limit.min(turns_per_page(&turns)));
    turns.reverse();
    Ok(TranscriptPage { has_more: found > turns.len(), turns })
}

/// Returns how many turns fit on a page. The newest one always does.
fn turns_per_page(newest_first: &[StoredTurn]) -> usize {
    let bytes = newest_first.iter().scan(0, |bytes, turn| {
        *bytes += turn.question.content.len() + turn.answer.as_ref().map_or(0, |answer| answer.content.len());
        Some(*bytes)
    });
    bytes.take_while(|bytes| *bytes <= MAX_PAGE_BYTES).count().max(1)
}

/// Reads the times of a session's questions after `since`, oldest first.
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
    let times: Vec<i64> = run_statement!(connection, conn => times.load(conn).await)?;
    Ok(times.into_iter().map(Timestamp).collect())
}

pub(crate) async fn find_turn(
    connection: &mut Connection,
    find: &FindTurn,
) -> QueryResult<Option<StoredTurn>> {
    let of_session = turns::session_id.eq(Key(find.session_id.0));
    let found = match &find.key {
        TurnKey::Turn(id) => {
            let turn = turns::id.eq(Key(id.0));
            load_turns!(connection, |turns| turns.filter(of_session).filter(turn))
        }
        TurnKey::Client(id) => {
            let turn = turns::client_id.eq(id);
            load_turns!(connection, |turns| turns.filter(of_session).filter(turn))
        }
    };
    Ok(found.into_iter().next())
}

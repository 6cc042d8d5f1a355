//! The owner's queries, each written once for both databases.

use diesel::dsl::{count, count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::db::models::{Key, cost as dollars};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{sessions, turns};
use crate::persistence::queries::transcript::stored_turns;
use crate::persistence::records::StoredTurn;
use crate::persistence::reports::{Conversation, Page, Selection, Usage, UsageBy};

/// Questions without a whole answer, but for those that were answered anew. The names are those of `TurnStatus`; a test holds them against it.
const UNANSWERED: &str = "count(CASE WHEN turns.superseded_by IS NULL AND turns.status \
     IN ('answering', 'failed', 'interrupted') THEN 1 END)";

// A sum of big integers is a decimal to PostgreSQL and may be a float to SQLite; here it always fits.
const PROMPT_TOKENS: &str = "CAST(coalesce(sum(turns.prompt_tokens), 0) AS BIGINT)";
const COMPLETION_TOKENS: &str = "CAST(coalesce(sum(turns.completion_tokens), 0) AS BIGINT)";
const COST: &str = "CAST(sum(turns.cost_nanodollars) AS BIGINT)";

/// Days since 1970, as text like the other groups.
const DAY: &str = "CAST(turns.asked_at_ms / 86400000 AS TEXT)";
const MODEL: &str =
    "coalesce(turns.model, CASE turns.mode WHEN 'excerpts' THEN '(excerpts)' ELSE '(none)' END)";
const STATUS: &str = "turns.status";

const DAY_MS: i64 = 86_400_000;

type ConversationRow = (Key, i64, i64, i64, i64, i64, i64, Option<i64>);

/// The conversations that a filter and an order leave, with what their turns sum up to.
macro_rules! summaries {
    ($connection:expr, $least_questions:expr, $least_unanswered:expr, |$sessions:ident| $chosen:expr) => {{
        let $sessions = sessions::table
            .left_join(turns::table)
            .group_by(sessions::id)
            .having(
                count(turns::id.nullable())
                    .ge($least_questions)
                    .and(sql::<BigInt>(UNANSWERED).ge($least_unanswered)),
            )
            .select((
                sessions::id,
                sessions::created_at_ms,
                sessions::last_seen_at_ms,
                count(turns::id.nullable()),
                sql::<BigInt>(UNANSWERED),
                sql::<BigInt>(PROMPT_TOKENS),
                sql::<BigInt>(COMPLETION_TOKENS),
                sql::<Nullable<BigInt>>(COST),
            ));
        let chosen = $chosen;
        let rows: Vec<ConversationRow> = on_either!($connection, link => chosen.load(link).await)?;
        rows.into_iter().map(summary).collect::<Vec<Conversation>>()
    }};
}

fn summary(row: ConversationRow) -> Conversation {
    let (id, started, last_seen, questions, unanswered, prompt_tokens, completion_tokens, cost) = row;
    Conversation {
        id: SessionId(id.0),
        started_at: Timestamp(started),
        last_seen_at: Timestamp(last_seen),
        questions,
        unanswered,
        prompt_tokens,
        completion_tokens,
        cost: cost.map(dollars),
    }
}

pub(crate) async fn conversations(
    connection: &mut Connection,
    selection: Selection,
    page: Page,
    limit: usize,
) -> QueryResult<Vec<Conversation>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let questions = i64::from(!selection.empty_ones);
    let unanswered = i64::from(selection.unanswered_only);
    let seen = sessions::last_seen_at_ms.ge(selection.since.0);
    // The ids are of version 7, so their order is the one in which conversations began.
    let found = match page {
        Page::Before(id) => {
            let before = sessions::id.lt(Key(id.map_or(Uuid::max(), |id| id.0)));
            summaries!(connection, questions, unanswered, |sessions| {
                sessions.filter(before).filter(seen).order(sessions::id.desc()).limit(limit)
            })
        }
        Page::After(id) => {
            let after = sessions::id.gt(Key(id.map_or(Uuid::nil(), |id| id.0)));
            summaries!(connection, questions, unanswered, |sessions| {
                sessions.filter(after).filter(seen).order(sessions::id.asc()).limit(limit)
            })
        }
    };
    Ok(found)
}

pub(crate) async fn conversation(
    connection: &mut Connection,
    id: SessionId,
) -> QueryResult<Option<Conversation>> {
    let found = summaries!(connection, 0_i64, 0_i64, |sessions| sessions.filter(sessions::id.eq(Key(id.0))));
    Ok(found.into_iter().next())
}

pub(crate) async fn turns(
    connection: &mut Connection,
    id: SessionId,
    after: Option<TurnId>,
    limit: usize,
) -> QueryResult<Vec<StoredTurn>> {
    let of_session = turns::session_id.eq(Key(id.0));
    let after = turns::id.gt(Key(after.map_or(Uuid::nil(), |turn| turn.0)));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(stored_turns!(connection, |turns| {
        turns.filter(of_session).filter(after).order(turns::id.asc()).limit(limit)
    }))
}

pub(crate) async fn usage(
    connection: &mut Connection,
    since: Timestamp,
    by: UsageBy,
) -> QueryResult<Vec<Usage>> {
    let group = match by {
        UsageBy::Day => DAY,
        UsageBy::Model => MODEL,
        UsageBy::Status => STATUS,
    };
    let grouped = turns::table.filter(turns::asked_at_ms.ge(since.0)).group_by(sql::<Text>(group)).select((
        sql::<Text>(group),
        count_star(),
        sql::<BigInt>(PROMPT_TOKENS),
        sql::<BigInt>(COMPLETION_TOKENS),
        sql::<Nullable<BigInt>>(COST),
    ));
    let rows: Vec<(String, i64, i64, i64, Option<i64>)> =
        on_either!(connection, link => grouped.load(link).await)?;
    let usage = rows.into_iter().map(|(group, questions, prompt_tokens, completion_tokens, cost)| Usage {
        group: if by == UsageBy::Day { day(&group) } else { group },
        questions,
        prompt_tokens,
        completion_tokens,
        cost: cost.map(dollars),
    });
    Ok(usage.collect())
}

/// The date of a day that is counted from 1970.
fn day(number: &str) -> String {
    let at = Timestamp(number.parse::<i64>().unwrap_or(0).saturating_mul(DAY_MS));
    at.to_rfc3339().chars().take("2026-11-23".len()).collect()
}

pub(crate) async fn count_unseen_since(
    connection: &mut Connection,
    before: Timestamp,
) -> QueryResult<(i64, i64)> {
    let unseen = sessions::table.filter(sessions::last_seen_at_ms.lt(before.0)).count();
    let conversations: i64 = on_either!(connection, link => unseen.get_result(link).await)?;
    let asked = turns::table
        .inner_join(sessions::table)
        .filter(sessions::last_seen_at_ms.lt(before.0))
        .select(count_star());
    let questions: i64 = on_either!(connection, link => asked.get_result(link).await)?;
    Ok((conversations, questions))
}

pub(crate) async fn unseen_since(
    connection: &mut Connection,
    before: Timestamp,
    after: Option<SessionId>,
    limit: usize,
) -> QueryResult<Vec<SessionId>> {
    let unseen = sessions::table
        .filter(sessions::last_seen_at_ms.lt(before.0))
        .filter(sessions::id.gt(Key(after.map_or(Uuid::nil(), |id| id.0))))
        .order(sessions::id.asc())
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(sessions::id);
    let ids: Vec<Key> = on_either!(connection, link => unseen.load(link).await)?;
    Ok(ids.into_iter().map(|id| SessionId(id.0)).collect())
}

/// Deletes in one transaction; turns and messages go with their session.
pub(crate) async fn delete(
    connection: &mut Connection,
    ids: &[SessionId],
    unseen_since: Option<Timestamp>,
) -> QueryResult<usize> {
    if let Connection::Sqlite(link) = connection {
        // Otherwise the words would stay in the file until something is written over them.
        link.batch_execute("PRAGMA secure_delete = ON").await?;
    }
    // Every time is at most the greatest one.
    let before = unseen_since.map_or(i64::MAX, |at| at.0);
    connection.begin().await?;
    let mut deleted = 0;
    for id in ids {
        let one =
            sessions::table.filter(sessions::id.eq(Key(id.0))).filter(sessions::last_seen_at_ms.lt(before));
        let delete = diesel::delete(one);
        match on_either!(connection, link => delete.execute(link).await) {
            Ok(count) => deleted += count,
            Err(error) => {
                // When even this fails the connection is dropped with the process.
                let _ = connection.roll_back().await;
                return Err(error);
            }
        }
    }
    connection.commit().await?;
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::turn::TurnStatus;

    #[test]
    fn the_words_for_unanswered_are_those_of_the_store() {
        for status in [TurnStatus::Answering, TurnStatus::Failed, TurnStatus::Interrupted] {
            assert!(UNANSWERED.contains(&format!("'{}'", status.as_str())), "{status:?}");
        }
        assert_eq!(UNANSWERED.matches('\'').count(), 6);
    }

    #[test]
    fn a_day_is_written_as_a_date() {
        assert_eq!((day("0").as_str(), day("20780").as_str()), ("1970-01-01", "2026-11-23"));
    }
}

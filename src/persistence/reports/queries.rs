//! The queries of reports, each written once for both databases.

use diesel::dsl::{count, count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::db::models::{Key, cost_from_column};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{sessions, turns};
use crate::persistence::queries::sessions::{SecureDelete, set_secure_delete};
use crate::persistence::queries::transcript::load_turns;
use crate::persistence::records::StoredTurn;
use crate::persistence::reports::records::{
    ConversationFilter, ConversationSummary, Page, UnseenCount, UsageBy, UsageGroup,
};

/// Counts the questions without a complete answer, except those that were regenerated. A test
/// compares the names with those of `TurnStatus`.
const UNANSWERED: &str = "count(CASE WHEN turns.superseded_by IS NULL AND turns.status \
     IN ('answering', 'failed', 'interrupted') THEN 1 END)";

// The sum of big integers is a decimal in PostgreSQL and may be a float in SQLite. These sums
// always fit.
const PROMPT_TOKENS: &str = "CAST(coalesce(sum(turns.prompt_tokens), 0) AS BIGINT)";
const COMPLETION_TOKENS: &str = "CAST(coalesce(sum(turns.completion_tokens), 0) AS BIGINT)";
const ESTIMATED: &str = "count(CASE WHEN turns.estimated_requests > 0 THEN 1 END)";
const COST: &str = "CAST(sum(turns.cost_nanodollars) AS BIGINT)";

/// Days since 1970-01-01, as text like the other groups.
const DAY: &str = "CAST(turns.asked_at_ms / 86400000 AS TEXT)";
const MODEL: &str =
    "coalesce(turns.model, CASE turns.mode WHEN 'excerpts' THEN '(excerpts)' ELSE '(none)' END)";
const STATUS: &str = "turns.status";

const DAY_MS: i64 = 86_400_000;

type ConversationRow = (Key, i64, i64, i64, i64, i64, i64, Option<i64>);

/// Loads conversations with the sums of their turns. `$query` adds a filter, an order or a limit to
/// the query `$sessions`.
macro_rules! load_summaries {
    ($connection:expr, $min_questions:expr, $min_unanswered:expr, |$sessions:ident| $query:expr) => {{
        let $sessions = sessions::table
            .left_join(turns::table)
            .group_by(sessions::id)
            .having(
                count(turns::id.nullable())
                    .ge($min_questions)
                    .and(sql::<BigInt>(UNANSWERED).ge($min_unanswered)),
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
        let query = $query;
        let rows: Vec<ConversationRow> = run_statement!($connection, conn => query.load(conn).await)?;
        rows.into_iter().map(summary_from_row).collect::<Vec<ConversationSummary>>()
    }};
}

fn summary_from_row(row: ConversationRow) -> ConversationSummary {
    let (id, started, last_seen, questions, unanswered, prompt_tokens, completion_tokens, cost) = row;
    ConversationSummary {
        id: SessionId(id.0),
        started_at: Timestamp(started),
        last_seen_at: Timestamp(last_seen),
        questions,
        unanswered,
        prompt_tokens,
        completion_tokens,
        cost: cost.map(cost_from_column),
    }
}

pub(crate) async fn conversations(
    connection: &mut Connection,
    filter: ConversationFilter,
    page: Page,
    limit: usize,
) -> QueryResult<Vec<ConversationSummary>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let questions = i64::from(!filter.include_empty);
    let unanswered = i64::from(filter.unanswered_only);
    let seen = sessions::last_seen_at_ms.ge(filter.since.0);
    // The order of UUIDv7 ids is the order in which the conversations started.
    let found = match page {
        Page::Before(id) => {
            let before = sessions::id.lt(Key(id.map_or(Uuid::max(), |id| id.0)));
            load_summaries!(connection, questions, unanswered, |sessions| {
                sessions.filter(before).filter(seen).order(sessions::id.desc()).limit(limit)
            })
        }
        Page::After(id) => {
            let after = sessions::id.gt(Key(id.map_or(Uuid::nil(), |id| id.0)));
            load_summaries!(connection, questions, unanswered, |sessions| {
                sessions.filter(after).filter(seen).order(sessions::id.asc()).limit(limit)
            })
        }
    };
    Ok(found)
}

pub(crate) async fn conversation(
    connection: &mut Connection,
    id: SessionId,
) -> QueryResult<Option<ConversationSummary>> {
    let found =
        load_summaries!(connection, 0_i64, 0_i64, |sessions| sessions.filter(sessions::id.eq(Key(id.0))));
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
    Ok(load_turns!(connection, |turns| {
        turns.filter(of_session).filter(after).order(turns::id.asc()).limit(limit)
    }))
}

pub(crate) async fn usage(
    connection: &mut Connection,
    since: Timestamp,
    by: UsageBy,
) -> QueryResult<Vec<UsageGroup>> {
    let group = match by {
        UsageBy::Day => DAY,
        UsageBy::Model => MODEL,
        UsageBy::Status => STATUS,
    };
    let grouped = turns::table.filter(turns::asked_at_ms.ge(since.0)).group_by(sql::<Text>(group)).select((
        sql::<Text>(group),
        count_star(),
        sql::<BigInt>(ESTIMATED),
        sql::<BigInt>(PROMPT_TOKENS),
        sql::<BigInt>(COMPLETION_TOKENS),
        sql::<Nullable<BigInt>>(COST),
    ));
    let rows: Vec<(String, i64, i64, i64, i64, Option<i64>)> =
        run_statement!(connection, conn => grouped.load(conn).await)?;
    let usage =
        rows.into_iter().map(|(group, questions, estimated, prompt_tokens, completion_tokens, cost)| {
            UsageGroup {
                group: if by == UsageBy::Day { format_day(&group) } else { group },
                questions,
                estimated,
                prompt_tokens,
                completion_tokens,
                cost: cost.map(cost_from_column),
            }
        });
    Ok(usage.collect())
}

/// Formats a day, counted from 1970-01-01, as a date.
fn format_day(number: &str) -> String {
    let at = Timestamp(number.parse::<i64>().unwrap_or(0).saturating_mul(DAY_MS));
    at.to_rfc3339().chars().take("2026-11-23".len()).collect()
}

pub(crate) async fn count_unseen_since(
    connection: &mut Connection,
    before: Timestamp,
) -> QueryResult<UnseenCount> {
    let unseen = sessions::table.filter(sessions::last_seen_at_ms.lt(before.0)).count();
    let conversations: i64 = run_statement!(connection, conn => unseen.get_result(conn).await)?;
    let asked = turns::table
        .inner_join(sessions::table)
        .filter(sessions::last_seen_at_ms.lt(before.0))
        .select(count_star());
    let questions: i64 = run_statement!(connection, conn => asked.get_result(conn).await)?;
    Ok(UnseenCount { conversations, questions })
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
    let ids: Vec<Key> = run_statement!(connection, conn => unseen.load(conn).await)?;
    Ok(ids.into_iter().map(|id| SessionId(id.0)).collect())
}

/// Deletes sessions with their turns and messages in one transaction.
pub(crate) async fn delete(
    connection: &mut Connection,
    ids: &[SessionId],
    unseen_since: Option<Timestamp>,
) -> QueryResult<usize> {
    set_secure_delete(connection, SecureDelete::On).await?;
    // Without a bound the condition is always true.
    let before = unseen_since.map_or(i64::MAX, |at| at.0);
    connection.begin_transaction().await?;
    let mut deleted = 0;
    for id in ids {
        let session =
            sessions::table.filter(sessions::id.eq(Key(id.0))).filter(sessions::last_seen_at_ms.lt(before));
        let delete = diesel::delete(session);
        match run_statement!(connection, conn => delete.execute(conn).await) {
            Ok(count) => deleted += count,
            Err(error) => {
                // If the rollback fails as well, the connection is closed with the process.
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
    fn unanswered_condition_uses_the_stored_status_names() {
        for status in [TurnStatus::Answering, TurnStatus::Failed, TurnStatus::Interrupted] {
            assert!(UNANSWERED.contains(&format!("'{}'", status.as_str())), "{status:?}");
        }
        assert_eq!(UNANSWERED.matches('\'').count(), 6);
    }

    #[test]
    fn days_are_formatted_as_dates() {
        assert_eq!((format_day("0").as_str(), format_day("20780").as_str()), ("1970-01-01", "2026-11-23"));
    }
}

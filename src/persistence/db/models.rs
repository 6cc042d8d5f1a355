//! The rows of the tables, and their conversion to records.

use std::sync::Arc;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::{Insertable, Queryable};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use uuid::Uuid;

use crate::budget::amount::{dollars, nanodollars};
use crate::domain::clock::Timestamp;
use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::ids::TurnId;
use crate::domain::turn::{TurnStatus, Usage};
use crate::persistence::db::schema::sql_types::Id;
use crate::persistence::db::schema::{feedback, messages, sessions, turns};
use crate::persistence::records::{Feedback, StoredMessage, StoredTurn};

/// A UUID in a column of type `Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Id)]
pub(crate) struct Key(pub(crate) Uuid);

impl ToSql<Id, Pg> for Key {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        std::io::Write::write_all(out, self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Id, Pg> for Key {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.as_bytes())?))
    }
}

impl ToSql<Id, Sqlite> for Key {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<Id, Sqlite> for Key {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text: String = FromSql::<Text, Sqlite>::from_sql(value)?;
        Ok(Self(text.parse()?))
    }
}

#[derive(Insertable)]
#[diesel(table_name = sessions)]
pub(crate) struct NewSession<'a> {
    pub(crate) id: Key,
    pub(crate) token_hash: &'a [u8],
    pub(crate) epoch: i64,
    pub(crate) created_at_ms: i64,
    pub(crate) last_seen_at_ms: i64,
}

#[derive(Insertable)]
#[diesel(table_name = turns)]
pub(crate) struct NewTurn<'a> {
    pub(crate) id: Key,
    pub(crate) session_id: Key,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) status: &'a str,
    pub(crate) asked_at_ms: i64,
    pub(crate) answered_by: &'a str,
    pub(crate) regenerates: Option<Key>,
}

#[derive(Insertable)]
#[diesel(table_name = messages)]
pub(crate) struct NewMessage<'a> {
    pub(crate) turn_id: Key,
    pub(crate) role: &'a str,
    pub(crate) content: &'a str,
    pub(crate) tokens: i32,
    pub(crate) saved_at_ms: i64,
    pub(crate) delta_lengths: Option<&'a [u8]>,
    pub(crate) citations: Option<&'a str>,
}

#[derive(Insertable)]
#[diesel(table_name = feedback)]
pub(crate) struct NewFeedback<'a> {
    pub(crate) turn_id: Key,
    pub(crate) rating: &'a str,
    pub(crate) comment: Option<&'a str>,
    pub(crate) given_at_ms: i64,
}

#[derive(Queryable)]
pub(crate) struct TurnRow {
    id: Key,
    client_id: Option<String>,
    status: String,
    mode: Option<String>,
    model: Option<String>,
    prompt_tokens: Option<i32>,
    completion_tokens: Option<i32>,
    cost_nanodollars: Option<i64>,
    estimated_requests: i32,
    asked_at_ms: i64,
    failure: Option<String>,
    answered_by: Option<String>,
    regenerates: Option<Key>,
    superseded_by: Option<Key>,
}

#[derive(Queryable)]
pub(crate) struct MessageRow {
    content: String,
    tokens: i32,
    saved_at_ms: i64,
    delta_lengths: Option<Vec<u8>>,
    citations: Option<String>,
}

#[derive(Queryable)]
pub(crate) struct FeedbackRow {
    rating: String,
    comment: Option<String>,
}

/// Declares the columns of a row as a type and as a value of that type.
macro_rules! columns {
    ($(#[$doc:meta])* $type:ident, $value:ident: $($column:path),+ $(,)?) => {
        $(#[$doc])*
        pub(crate) type $type = ($($column,)+);
        $(#[$doc])*
        pub(crate) const $value: $type = ($($column,)+);
    };
}

columns! {
    /// The columns of a [`TurnRow`], in its order.
    TurnColumns, TURN_COLUMNS:
    turns::id,
    turns::client_id,
    turns::status,
    turns::mode,
    turns::model,
    turns::prompt_tokens,
    turns::completion_tokens,
    turns::cost_nanodollars,
    turns::estimated_requests,
    turns::asked_at_ms,
    turns::failure,
    turns::answered_by,
    turns::regenerates,
    turns::superseded_by,
}

columns! {
    /// The columns of a [`MessageRow`], in its order.
    MessageColumns, MESSAGE_COLUMNS:
    messages::content,
    messages::tokens,
    messages::saved_at_ms,
    messages::delta_lengths,
    messages::citations,
}

columns! {
    /// The columns of a [`FeedbackRow`], in its order.
    FeedbackColumns, FEEDBACK_COLUMNS:
    feedback::rating,
    feedback::comment,
}

impl MessageRow {
    fn into_record(self) -> StoredMessage {
        StoredMessage {
            content: self.content.into(),
            tokens: count_from_column(self.tokens),
            at: Timestamp(self.saved_at_ms),
            delta_offsets: self.delta_lengths.map(DeltaOffsets::from_bytes),
            // The answer is shown even if its citations cannot be parsed.
            citations: self.citations.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        }
    }
}

impl FeedbackRow {
    fn into_record(self) -> Option<Feedback> {
        Some(Feedback { rating: self.rating.parse().ok()?, comment: self.comment })
    }
}

impl TurnRow {
    pub(crate) fn into_record(
        self,
        question: MessageRow,
        answer: Option<MessageRow>,
        feedback: Option<FeedbackRow>,
    ) -> StoredTurn {
        StoredTurn {
            turn_id: TurnId(self.id.0),
            client_id: self.client_id,
            status: self.status.parse().unwrap_or(TurnStatus::Failed),
            mode: self.mode.and_then(|name| name.parse().ok()),
            model: self.model.map(Arc::from),
            usage: Usage {
                prompt_tokens: self.prompt_tokens.map_or(0, count_from_column),
                completion_tokens: self.completion_tokens.map_or(0, count_from_column),
                cost: self.cost_nanodollars.map(cost_from_column),
                estimated_requests: count_from_column(self.estimated_requests),
            },
            asked_at: Timestamp(self.asked_at_ms),
            failure: self.failure.and_then(|name| name.parse().ok()),
            answered_by: self.answered_by,
            regenerates: self.regenerates.map(|key| TurnId(key.0)),
            superseded_by: self.superseded_by.map(|key| TurnId(key.0)),
            question: question.into_record(),
            answer: answer.map(MessageRow::into_record),
            feedback: feedback.and_then(FeedbackRow::into_record),
        }
    }
}

/// Converts a count to an `Integer` column.
pub(crate) fn count_to_column(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Converts an `Integer` column to a count.
pub(crate) fn count_from_column(column: i32) -> u32 {
    u32::try_from(column).unwrap_or(0)
}

/// Converts US dollars to a column of billionths.
pub(crate) fn cost_to_column(dollars: f64) -> i64 {
    i64::try_from(nanodollars(dollars)).unwrap_or(i64::MAX)
}

/// Converts a column of billionths to US dollars.
pub(crate) fn cost_from_column(column: i64) -> f64 {
    dollars(u64::try_from(column).unwrap_or(0))
}

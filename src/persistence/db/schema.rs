//! The tables, declared once for both databases. A test compares this file with the migrations of
//! each.
//!
//! Columns ending in `_ms` are milliseconds since 1970-01-01 (UTC). Days are counted from
//! 1970-01-01 (UTC). Columns ending in `_nanodollars` are billionths of a US dollar.

/// SQL types that the two databases spell differently.
pub mod sql_types {
    /// A UUID: `uuid` in PostgreSQL, readable `TEXT` in SQLite.
    #[derive(Debug, Clone, Copy, Default, diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(oid = 2950, array_oid = 2951))]
    #[diesel(sqlite_type(name = "Text"))]
    pub struct Id;
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use super::sql_types::Id;

    /// The conversations of visitors.
    sessions (id) {
        /// A UUIDv7.
        id -> Id,
        /// SHA-256 of the resume token.
        token_hash -> Binary,
        /// Incremented by each connection that takes the session over; connections with a lower
        /// epoch cannot write.
        epoch -> BigInt,
        /// When the session started.
        created_at_ms -> BigInt,
        /// When the session was last started, resumed or asked a question.
        last_seen_at_ms -> BigInt,
        /// Tokens of the answers, used and reserved; counted while there is a limit for sessions.
        tokens -> BigInt,
        /// The cost of these tokens.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// Questions with their answers.
    turns (id) {
        /// A UUIDv7.
        id -> Id,
        /// The session of the turn.
        session_id -> Id,
        /// The `id` that the client gave the question; unique within the session.
        client_id -> Nullable<Text>,
        /// The name of a `TurnStatus`.
        status -> Text,
        /// The name of an `AnswerMode`; null until the answer starts.
        mode -> Nullable<Text>,
        /// The model that answered.
        model -> Nullable<Text>,
        /// Tokens of the prompts of all requests for the answer, as the model server counts them.
        prompt_tokens -> Nullable<Integer>,
        /// Tokens that these requests generated, as the model server counts them.
        completion_tokens -> Nullable<Integer>,
        /// The cost of these requests, as far as the model server has reported it.
        cost_nanodollars -> Nullable<BigInt>,
        /// When the question was asked.
        asked_at_ms -> BigInt,
        /// When the answer ended; null while it is being generated.
        ended_at_ms -> Nullable<BigInt>,
        /// The name of an `ErrorCode`; null unless the answer failed.
        failure -> Nullable<Text>,
        /// The `InstanceId` of the server process that generates or generated the answer.
        answered_by -> Nullable<Text>,
        /// The turn whose answer this turn replaces.
        regenerates -> Nullable<Id>,
        /// The turn that replaces this turn.
        superseded_by -> Nullable<Id>,
        /// The number of requests whose tokens this server has counted itself.
        estimated_requests -> Integer,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// The texts of questions and answers.
    messages (turn_id, role) {
        /// The turn of the message.
        turn_id -> Id,
        /// The name of a `Role`.
        role -> Text,
        /// The text.
        content -> Text,
        /// The length of the text in tokens, as this server counts them.
        tokens -> Integer,
        /// When the question was asked, or the answer was last saved.
        saved_at_ms -> BigInt,
        /// The `DeltaOffsets` of an answer; null for a question.
        delta_lengths -> Nullable<Binary>,
        /// A JSON array of the resume sections that an answer quotes; null if there are none.
        citations -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use super::sql_types::Id;

    /// Visitors' feedback on answers.
    feedback (turn_id) {
        /// The turn of the answer.
        turn_id -> Id,
        /// The name of a `Rating`.
        rating -> Text,
        /// The visitor's comment.
        comment -> Nullable<Text>,
        /// When the feedback was given or last changed.
        given_at_ms -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer};

    /// The budget accounts of days.
    daily_budgets (day) {
        /// A `Day`.
        day -> Integer,
        /// Tokens of the answers, used and reserved.
        tokens -> BigInt,
        /// The cost of these tokens.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer};

    /// The budget accounts of client addresses on a day.
    address_budgets (day, address_digest) {
        /// A `Day`.
        day -> Integer,
        /// An `AddressDigest`.
        address_digest -> Binary,
        /// Tokens of the answers, used and reserved.
        tokens -> BigInt,
        /// The cost of these tokens.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// Requests whose cost the model server has not reported yet.
    pending_costs (turn_id, upstream_id) {
        /// The turn of the request, which may have been deleted.
        turn_id -> Id,
        /// The id that the model server gave the request.
        upstream_id -> Text,
        /// The day whose account is charged.
        day -> Integer,
        /// The session whose account is charged as well.
        session_id -> Nullable<Id>,
        /// The `AddressDigest` whose account is charged as well.
        address_digest -> Nullable<Binary>,
        /// The `AddressDigest` of the IPv6 network whose account is charged as well.
        network_digest -> Nullable<Binary>,
        /// The charged tokens, an estimate.
        tokens -> BigInt,
        /// The charged cost, an estimate.
        cost_nanodollars -> BigInt,
        /// The `InstanceId` of the server process that charged the estimate.
        charged_by -> Text,
        /// When the estimate was charged.
        charged_at_ms -> BigInt,
        /// The number of lookups at the model server.
        attempts -> Integer,
        /// When the next lookup is due.
        due_at_ms -> BigInt,
        /// The prompt tokens of the estimate, which are part of those of the turn.
        prompt_tokens -> Integer,
        /// The completion tokens of the estimate, which are part of those of the turn.
        completion_tokens -> Integer,
    }
}

diesel::joinable!(turns -> sessions (session_id));
diesel::joinable!(messages -> turns (turn_id));
diesel::joinable!(feedback -> turns (turn_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, turns, messages, feedback);

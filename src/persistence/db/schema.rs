//! The tables, once for both databases. A test compares this file with what the migrations make of each.

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

    /// One conversation of one visitor.
    sessions (id) {
        /// A UUIDv7.
        id -> Id,
        /// SHA-256 of the resume token.
        token_hash -> Binary,
        /// Raised by every resumption; an older connection can write nothing more.
        epoch -> BigInt,
        /// When it began.
        created_at_ms -> BigInt,
        /// When it was last started, resumed or asked something.
        last_seen_at_ms -> BigInt,
        /// Tokens that its answers took, with those set aside; counted while there is a ceiling.
        tokens -> BigInt,
        /// What they cost, in billionths of a US dollar.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer};

    /// What the answers to a client address took on a day, with what is set aside.
    address_spending (day, address) {
        /// A `Day`.
        day -> Integer,
        /// An `AddressDigest`.
        address -> Binary,
        /// Tokens.
        tokens -> BigInt,
        /// Billionths of a US dollar.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// One question with its answer.
    turns (id) {
        /// A UUIDv7.
        id -> Id,
        /// The session.
        session_id -> Id,
        /// The client's own id of the question; unique within the session.
        client_id -> Nullable<Text>,
        /// A `TurnStatus` by its name.
        status -> Text,
        /// An `AnswerMode` by its name, once answered.
        mode -> Nullable<Text>,
        /// The model that answered.
        model -> Nullable<Text>,
        /// Tokens of the prompt.
        prompt_tokens -> Nullable<Integer>,
        /// Tokens of the answer, by the model's count.
        completion_tokens -> Nullable<Integer>,
        /// Billionths of a US dollar.
        cost_nanodollars -> Nullable<BigInt>,
        /// When it was asked.
        asked_at_ms -> BigInt,
        /// When the answer ended.
        ended_at_ms -> Nullable<BigInt>,
        /// An `ErrorCode` by its name, when the answer failed.
        failure -> Nullable<Text>,
        /// The `Incarnation` of the server that answers or answered.
        answered_by -> Nullable<Text>,
        /// The turn whose answer this one takes the place of.
        regenerates -> Nullable<Id>,
        /// The turn that took its place.
        superseded_by -> Nullable<Id>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// What was said.
    messages (turn_id, role) {
        /// The turn.
        turn_id -> Id,
        /// `user` or `assistant`.
        role -> Text,
        /// The text.
        content -> Text,
        /// Its length in tokens, by our own count.
        tokens -> Integer,
        /// When it was asked, or its answer last saved.
        created_at_ms -> BigInt,
        /// Of an answer: `DeltaOffsets`. Answers of older versions have none.
        delta_lengths -> Nullable<Binary>,
        /// Of an answer: the sections that were quoted, as a JSON array. None when nothing was.
        citations -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use super::sql_types::Id;

    /// What a visitor thinks of an answer.
    feedback (turn_id) {
        /// The turn.
        turn_id -> Id,
        /// A `Rating` by its name.
        rating -> Text,
        /// In the visitor's words.
        comment -> Nullable<Text>,
        /// When it was given.
        given_at_ms -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer};

    /// What the answers of each day took.
    spending (day) {
        /// A day of UTC, counted from 1970.
        day -> Integer,
        /// Tokens that were taken, and those that are set aside for answers under way.
        tokens -> BigInt,
        /// The same in billionths of a US dollar.
        cost_nanodollars -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
    use super::sql_types::Id;

    /// Requests of which the model's server has not said yet what they cost.
    owed_costs (turn_id, source_id) {
        /// The turn, which may be gone.
        turn_id -> Id,
        /// What the model's server calls the request.
        source_id -> Text,
        /// An `Attempt` by its name.
        attempt -> Text,
        /// The day in whose account it is counted.
        day -> Integer,
        /// The session in whose account it is counted, too.
        session_id -> Nullable<Id>,
        /// The `AddressDigest` in whose account it is counted, too.
        address -> Nullable<Binary>,
        /// Tokens that are counted for it.
        tokens -> BigInt,
        /// Billionths of a US dollar that are counted for it.
        cost_nanodollars -> BigInt,
        /// The `Incarnation` of the server that counted.
        counted_by -> Text,
        /// When it was counted.
        counted_at_ms -> BigInt,
        /// How often the model's server was asked.
        tries -> Integer,
        /// When it is to be asked next.
        due_at_ms -> BigInt,
    }
}

diesel::joinable!(turns -> sessions (session_id));
diesel::joinable!(messages -> turns (turn_id));
diesel::joinable!(feedback -> turns (turn_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, turns, messages, feedback);

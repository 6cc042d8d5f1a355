-- Ids are UUIDv7. Times are milliseconds since 1970-01-01 (UTC), days are counted from
-- 1970-01-01, and costs are billionths of a US dollar.

CREATE TABLE sessions (
    id UUID NOT NULL PRIMARY KEY,
    -- SHA-256 of the resume token.
    token_hash BYTEA NOT NULL,
    -- Incremented by each connection that takes the session over.
    epoch BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_seen_at_ms BIGINT NOT NULL,
    -- Used and reserved amounts of all answers, counted while there is a limit for sessions.
    tokens BIGINT NOT NULL DEFAULT 0,
    cost_nanodollars BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE turns (
    id UUID NOT NULL PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- The id that the client gave the question.
    client_id TEXT,
    status TEXT NOT NULL,
    mode TEXT,
    model TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_nanodollars BIGINT,
    asked_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    -- The error code of a failed answer.
    failure TEXT,
    -- The server process that generates the answer, so that others can detect that it has ended.
    answered_by TEXT,
    -- The earlier turn whose answer this one replaces.
    regenerates UUID,
    -- The later turn that replaces this one.
    superseded_by UUID,
    UNIQUE (session_id, client_id)
);

CREATE INDEX turns_session_id_idx ON turns (session_id, id);

CREATE TABLE messages (
    turn_id UUID NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    -- When the question was asked, or the answer was last saved.
    saved_at_ms BIGINT NOT NULL,
    -- The length of each delta of an answer, so that a client can resume in the middle.
    delta_lengths BYTEA,
    -- A JSON array of the resume sections that an answer quotes.
    citations TEXT,
    PRIMARY KEY (turn_id, role)
);

CREATE TABLE feedback (
    turn_id UUID NOT NULL PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
    rating TEXT NOT NULL,
    comment TEXT,
    given_at_ms BIGINT NOT NULL
);

-- Used and reserved amounts of all answers of a day.
CREATE TABLE daily_budgets (
    day INTEGER NOT NULL PRIMARY KEY,
    tokens BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL
);

-- Used and reserved amounts of the answers to a client address on a day. The digest is keyed, and
-- the key is not stored. The rows of earlier days are deleted.
CREATE TABLE address_budgets (
    day INTEGER NOT NULL,
    address_digest BYTEA NOT NULL,
    tokens BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    PRIMARY KEY (day, address_digest)
);

-- Requests whose cost the model server has not reported yet, with the estimate that is charged
-- until then. They do not reference a turn, because a deleted conversation was paid for as well.
CREATE TABLE pending_costs (
    turn_id UUID NOT NULL,
    -- The id that the model server gave the request.
    upstream_id TEXT NOT NULL,
    -- Whether the text of the request became the answer: 'answered' or 'discarded'.
    outcome TEXT NOT NULL,
    day INTEGER NOT NULL,
    session_id UUID,
    address_digest BYTEA,
    tokens BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    -- The server process that charged the estimate.
    charged_by TEXT NOT NULL,
    charged_at_ms BIGINT NOT NULL,
    -- How often the model server was asked for the cost.
    attempts INTEGER NOT NULL,
    due_at_ms BIGINT NOT NULL,
    PRIMARY KEY (turn_id, upstream_id)
);

CREATE INDEX pending_costs_due_at_ms_idx ON pending_costs (due_at_ms);

-- Ids are UUIDv7, times are milliseconds since 1970 (UTC), money is billionths of a US dollar.
CREATE TABLE sessions (
    id UUID NOT NULL PRIMARY KEY,
    token_hash BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_seen_at_ms BIGINT NOT NULL
);

CREATE TABLE turns (
    id UUID NOT NULL PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    client_id TEXT,
    status TEXT NOT NULL,
    mode TEXT,
    model TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_nanodollars BIGINT,
    asked_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    UNIQUE (session_id, client_id)
);

CREATE INDEX turns_of_session ON turns (session_id, id);

CREATE TABLE messages (
    turn_id UUID NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (turn_id, role)
);

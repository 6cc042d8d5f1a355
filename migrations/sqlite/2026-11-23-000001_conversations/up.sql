-- Ids are UUIDv7 as text, times are milliseconds since 1970 (UTC), money is billionths of a US dollar.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    last_seen_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE turns (
    id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    client_id TEXT,
    status TEXT NOT NULL,
    mode TEXT,
    model TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_nanodollars INTEGER,
    asked_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    UNIQUE (session_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX turns_of_session ON turns (session_id, id);

CREATE TABLE messages (
    turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (turn_id, role)
) STRICT;

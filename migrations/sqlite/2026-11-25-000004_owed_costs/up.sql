-- Requests of which the model's server has not said yet what they cost, with what is counted for them until then. They name a turn
-- without depending on it: a conversation that is deleted was paid all the same.
CREATE TABLE owed_costs (
    turn_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    attempt TEXT NOT NULL,
    day INTEGER NOT NULL,
    session_id TEXT,
    address BLOB,
    tokens INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL,
    counted_by TEXT NOT NULL,
    counted_at_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    PRIMARY KEY (turn_id, source_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX owed_costs_by_due ON owed_costs (due_at_ms);

-- What an answer needs to be said again as it was said: where its deltas end, what it quoted, why it failed.
ALTER TABLE messages ADD COLUMN delta_lengths BYTEA;
ALTER TABLE messages ADD COLUMN citations TEXT;
ALTER TABLE turns ADD COLUMN failure TEXT;
-- Which process answers, so that another one can tell whether it still does.
ALTER TABLE turns ADD COLUMN answered_by TEXT;
-- Answers that took the place of earlier ones.
ALTER TABLE turns ADD COLUMN regenerates UUID;
ALTER TABLE turns ADD COLUMN superseded_by UUID;

CREATE TABLE feedback (
    turn_id UUID NOT NULL PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
    rating TEXT NOT NULL,
    comment TEXT,
    given_at_ms BIGINT NOT NULL
);

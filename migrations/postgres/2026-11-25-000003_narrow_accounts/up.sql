-- What a session has taken in all its life, with what is set aside; counted while there is a ceiling for it.
ALTER TABLE sessions ADD COLUMN tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN cost_nanodollars BIGINT NOT NULL DEFAULT 0;

-- The same of a client address on a day. The address is not here, only a digest of it under a key that is not here; earlier
-- days are deleted.
CREATE TABLE address_spending (
    day INTEGER NOT NULL,
    address BYTEA NOT NULL,
    tokens BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    PRIMARY KEY (day, address)
);

-- What a session has taken in all its life, with what is set aside; counted while there is a ceiling for it.
ALTER TABLE sessions ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN cost_nanodollars INTEGER NOT NULL DEFAULT 0;

-- The same of a client address on a day. The address is not here, only a digest of it under a key that is not here; earlier
-- days are deleted.
CREATE TABLE address_spending (
    day INTEGER NOT NULL,
    address BLOB NOT NULL,
    tokens INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL,
    PRIMARY KEY (day, address)
) STRICT, WITHOUT ROWID;

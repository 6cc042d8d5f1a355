-- What all answers of a day (UTC, counted from 1970) took, and what is set aside for those under way.
CREATE TABLE spending (
    day INTEGER NOT NULL PRIMARY KEY,
    tokens BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL
);

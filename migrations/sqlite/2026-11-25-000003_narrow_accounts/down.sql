DROP TABLE address_spending;
ALTER TABLE sessions DROP COLUMN cost_nanodollars;
ALTER TABLE sessions DROP COLUMN tokens;

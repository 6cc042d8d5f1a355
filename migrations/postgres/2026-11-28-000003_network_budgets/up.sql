-- The digest of the IPv6 network (/48) whose account is charged as well. Its account is a row of
-- address_budgets: digests of networks and of addresses differ.
ALTER TABLE pending_costs ADD COLUMN network_digest BYTEA;

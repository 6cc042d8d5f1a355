ALTER TABLE pending_costs DROP COLUMN network_digest;

ALTER TABLE pending_costs ADD COLUMN outcome TEXT NOT NULL DEFAULT 'discarded';
ALTER TABLE pending_costs DROP COLUMN completion_tokens;
ALTER TABLE pending_costs DROP COLUMN prompt_tokens;
ALTER TABLE turns DROP COLUMN estimated_requests;

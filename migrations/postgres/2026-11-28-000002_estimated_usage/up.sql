-- The usage of a turn is that of all requests for its answer. The number says how many of them were
-- not reported, so that this server counted their tokens.
ALTER TABLE turns ADD COLUMN estimated_requests INTEGER NOT NULL DEFAULT 0;

-- The estimate of a pending cost, as it is part of the usage of its turn.
ALTER TABLE pending_costs ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pending_costs ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0;

-- The usage of earlier turns contains only the request that became the answer.
UPDATE pending_costs
SET prompt_tokens = coalesce((SELECT turns.prompt_tokens FROM turns WHERE turns.id = pending_costs.turn_id), 0),
    completion_tokens = coalesce((SELECT turns.completion_tokens FROM turns WHERE turns.id = pending_costs.turn_id), 0)
WHERE outcome = 'answered';

UPDATE turns
SET estimated_requests = 1
WHERE id IN (SELECT turn_id FROM pending_costs WHERE outcome = 'answered');

ALTER TABLE pending_costs DROP COLUMN outcome;

DROP TABLE pending_costs;
DROP TABLE address_budgets;
DROP TABLE daily_budgets;
DROP TABLE feedback;
DROP TABLE messages;
DROP TABLE turns;
DROP TABLE sessions;

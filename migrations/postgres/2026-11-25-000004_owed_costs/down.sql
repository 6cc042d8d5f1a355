DROP TABLE owed_costs;

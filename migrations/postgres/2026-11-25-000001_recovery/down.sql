DROP TABLE feedback;
ALTER TABLE turns DROP COLUMN superseded_by;
ALTER TABLE turns DROP COLUMN regenerates;
ALTER TABLE turns DROP COLUMN answered_by;
ALTER TABLE turns DROP COLUMN failure;
ALTER TABLE messages DROP COLUMN citations;
ALTER TABLE messages DROP COLUMN delta_lengths;

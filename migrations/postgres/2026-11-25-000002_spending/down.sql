-- What was taken on that day is forgotten with it: the ceilings of the day begin anew.
DROP TABLE spending;

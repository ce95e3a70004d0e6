-- What:       Incidents that are not resolved.
-- Grain:      one row per incident whose status is not resolved.
-- Parameters: none.
-- Columns:
--   …  all columns of the view incidents.
SELECT *
FROM incidents
WHERE status <> 'resolved'

-- A gap that its feed no longer lists as open, and that has left its short history of closed ones, is repaired.
UPDATE gaps
SET status = 'repaired', missing = 0, closed_time = $4
WHERE exchange = $1 AND product_id = $2 AND status = 'open' AND first <> ALL ($3::bigint[])

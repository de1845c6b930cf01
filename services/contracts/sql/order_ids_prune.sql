-- Forget at most $2 of the ids taken before $1. Those that somebody takes anew at this moment are let be.
DELETE FROM order_ids
WHERE (account, id) IN (
    SELECT account, id FROM order_ids WHERE received_time < $1 ORDER BY received_time LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING 1

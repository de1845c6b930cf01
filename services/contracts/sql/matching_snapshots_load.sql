-- The snapshots to begin from, the newest first: of this log, this version, and not beyond what is stored.
SELECT next_offset, state_hash, state, clock_time
FROM matching_snapshots
WHERE market_group = $1 AND log_id = $2 AND version = $3 AND next_offset <= $4
ORDER BY next_offset DESC

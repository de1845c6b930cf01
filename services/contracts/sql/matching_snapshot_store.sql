INSERT INTO matching_snapshots (market_group, next_offset, log_id, version, state_hash, state, clock_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (market_group, next_offset)
DO UPDATE SET
    log_id = excluded.log_id,
    version = excluded.version,
    state_hash = excluded.state_hash,
    state = excluded.state,
    clock_time = excluded.clock_time,
    created_at = now()

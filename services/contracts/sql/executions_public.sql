-- Everybody's executions before the key ($2, $3, $4), newest first; of one symbol where $1 names it.
SELECT
    market_group,
    sequence,
    symbol,
    trim_scale(price)::text AS price,
    trim_scale(quantity)::text AS quantity,
    taker_side,
    time
FROM executions
WHERE ($1::text IS NULL OR symbol = $1) AND time <= $2 AND (time, market_group, sequence) < ($2, $3, $4)
ORDER BY time DESC, market_group DESC, sequence DESC
LIMIT $5

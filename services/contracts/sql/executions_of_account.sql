-- Executions of an account before the key ($3, $4, $5), newest first; of one symbol where $2 names it.
WITH own AS (
    (SELECT * FROM executions
    WHERE maker_account = $1 AND ($2::text IS NULL OR symbol = $2)
        AND time <= $3 AND (time, market_group, sequence) < ($3, $4, $5)
    ORDER BY time DESC, market_group DESC, sequence DESC LIMIT $6)
    UNION ALL
    (SELECT * FROM executions
    WHERE taker_account = $1 AND ($2::text IS NULL OR symbol = $2)
        AND time <= $3 AND (time, market_group, sequence) < ($3, $4, $5)
    ORDER BY time DESC, market_group DESC, sequence DESC LIMIT $6)
)
SELECT
    market_group,
    sequence,
    symbol,
    trim_scale(price)::text AS price,
    trim_scale(quantity)::text AS quantity,
    taker_side,
    maker_account,
    maker_id,
    trim_scale(maker_fee)::text AS maker_fee,
    taker_id,
    trim_scale(taker_fee)::text AS taker_fee,
    time
FROM own
ORDER BY time DESC, market_group DESC, sequence DESC
LIMIT $6

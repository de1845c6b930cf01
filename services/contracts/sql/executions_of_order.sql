-- The newest executions of an order, by its steps: they alone are found by its number.
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
FROM executions
WHERE market_group = $1
    AND sequence IN (
        SELECT execution_sequence
        FROM order_steps
        WHERE market_group = $1 AND number = $2 AND execution_sequence IS NOT NULL
        ORDER BY input_offset DESC, ordinal DESC
        LIMIT $3
    )
ORDER BY sequence DESC

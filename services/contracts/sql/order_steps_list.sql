SELECT
    state,
    reason,
    trim_scale(price)::text AS price,
    trim_scale(quantity)::text AS quantity,
    trim_scale(remaining)::text AS remaining,
    time
FROM order_steps
WHERE market_group = $1 AND number = $2
ORDER BY input_offset, ordinal
LIMIT $3

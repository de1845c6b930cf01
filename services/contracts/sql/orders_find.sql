-- An account's newest order of an id, whatever became of it.
SELECT
    market_group,
    number,
    account,
    id,
    symbol,
    side,
    type,
    time_in_force,
    post_only,
    self_trade,
    trim_scale(price)::text AS price,
    trim_scale(stop_price)::text AS stop_price,
    expire_time,
    trim_scale(quantity)::text AS quantity,
    trim_scale(remaining)::text AS remaining,
    trim_scale(filled)::text AS filled,
    trim_scale(filled_quote)::text AS filled_quote,
    trim_scale(fee)::text AS fee,
    state,
    reason,
    received_time,
    updated_time
FROM orders
WHERE account = $1 AND id = $2
ORDER BY number DESC
LIMIT 1

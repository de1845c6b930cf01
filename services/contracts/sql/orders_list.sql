-- Orders of an account before the key ($4, $5, $6), newest first; of one symbol ($2), open ($3 true) or closed (false).
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
WHERE account = $1
    AND ($2::text IS NULL OR symbol = $2)
    AND ($3::bool IS NULL OR $3 = (state IN ('received', 'accepted', 'resting', 'partially_filled')))
    AND received_time <= $4
    AND (received_time, market_group, number) < ($4, $5, $6)
ORDER BY received_time DESC, market_group DESC, number DESC
LIMIT $7

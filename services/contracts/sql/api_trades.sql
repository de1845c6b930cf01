-- Trades of one product in [$3, $4) and before the key ($5, $6), newest first, by the primary key.
SELECT
    trade_id,
    trade_number,
    trim_scale(price)::text,
    trim_scale(size)::text,
    side,
    time,
    received_time,
    origin,
    venue
FROM trades
WHERE exchange = $1 AND product_id = $2 AND time >= $3 AND time < $4 AND time <= $5 AND (time, trade_id) < ($5, $6)
ORDER BY time DESC, trade_id DESC
LIMIT $7

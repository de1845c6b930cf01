-- The newest $3 trades of a product and whatever else it has of the last $4 ns before its newest, in the exchange's order.
SELECT trades.*
FROM trades, (
    SELECT least(min(time), max(time) - $4) AS since
    FROM (
        SELECT time FROM trades WHERE exchange = $1 AND product_id = $2 ORDER BY time DESC LIMIT $3
    ) AS newest
) AS span
WHERE exchange = $1 AND product_id = $2 AND time >= since
ORDER BY trade_number, time

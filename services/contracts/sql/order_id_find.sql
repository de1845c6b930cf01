-- The group of a command by its id, and its symbol if it is an order: of the last day, or of any age once it is matched.
SELECT market_group, symbol, received_time FROM order_ids WHERE account = $1 AND id = $2
UNION ALL
(SELECT market_group, symbol, received_time FROM orders WHERE account = $1 AND id = $2 ORDER BY number DESC LIMIT 1)
ORDER BY received_time DESC
LIMIT 1

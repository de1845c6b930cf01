-- Whose orders the newest executions were.
SELECT maker_account, maker_id, taker_account, taker_id
FROM executions
WHERE market_group = $1
ORDER BY sequence DESC
LIMIT $2

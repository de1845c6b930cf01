-- Whose orders the executions after an event were.
SELECT maker_account, maker_id, taker_account, taker_id
FROM executions
WHERE market_group = $1 AND sequence > $2
ORDER BY sequence
LIMIT $3

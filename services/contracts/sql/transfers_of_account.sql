-- Deposits and withdrawals of an account before the key ($2, $3, $4), newest first.
SELECT market_group, sequence, account, id, asset, trim_scale(amount)::text AS amount, refused, time
FROM transfers
WHERE account = $1 AND time <= $2 AND (time, market_group, sequence) < ($2, $3, $4)
ORDER BY time DESC, market_group DESC, sequence DESC
LIMIT $5

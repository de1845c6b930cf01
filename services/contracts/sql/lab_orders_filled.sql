-- The open orders of which something is filled.
SELECT number, account, id, state, filled_quote
FROM orders
WHERE market_group = $1
  AND state IN ('received', 'accepted', 'resting', 'partially_filled')
  AND filled > 0

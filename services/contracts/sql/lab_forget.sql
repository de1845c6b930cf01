-- Everything that a market group's engine has stored: it begins with its journal's first command.
WITH
o AS (DELETE FROM orders WHERE market_group = $1),
s AS (DELETE FROM order_steps WHERE market_group = $1),
e AS (DELETE FROM executions WHERE market_group = $1),
t AS (DELETE FROM transfers WHERE market_group = $1),
b AS (DELETE FROM balances WHERE market_group = $1),
m AS (DELETE FROM matching_snapshots WHERE market_group = $1)
DELETE FROM symbols WHERE market_group = $1

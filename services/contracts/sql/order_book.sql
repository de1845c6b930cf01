-- The depth of a symbol's book, $2 levels a side: what rests there.
(SELECT side, trim_scale(price)::text AS price, trim_scale(sum(remaining))::text AS quantity
FROM orders
WHERE symbol = $1 AND side = 'buy' AND state IN ('resting', 'partially_filled')
GROUP BY side, price ORDER BY orders.price DESC LIMIT $2)
UNION ALL
(SELECT side, trim_scale(price)::text AS price, trim_scale(sum(remaining))::text AS quantity
FROM orders
WHERE symbol = $1 AND side = 'sell' AND state IN ('resting', 'partially_filled')
GROUP BY side, price ORDER BY orders.price LIMIT $2)

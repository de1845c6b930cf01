-- Take an id for a command, or learn what it was taken for. An id taken before $7 is free again, unless an order of that
-- time is still open under it, or was since then (Redis has what has traded of it for a day): then there is no row.
INSERT INTO order_ids AS known (account, id, market_group, symbol, body_hash, received_time)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (
    SELECT FROM orders
    WHERE account = $1 AND id = $2 AND received_time < $7
        AND (state IN ('received', 'accepted', 'resting', 'partially_filled') OR updated_time >= $7)
)
ON CONFLICT (account, id) DO UPDATE SET
    market_group = CASE WHEN known.received_time < $7 THEN excluded.market_group ELSE known.market_group END,
    symbol = CASE WHEN known.received_time < $7 THEN excluded.symbol ELSE known.symbol END,
    body_hash = CASE WHEN known.received_time < $7 THEN excluded.body_hash ELSE known.body_hash END,
    received_time = CASE WHEN known.received_time < $7 THEN excluded.received_time ELSE known.received_time END
RETURNING body_hash, received_time

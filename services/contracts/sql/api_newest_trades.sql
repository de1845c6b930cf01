-- The newest trade of each of the products $2.
SELECT
    wanted.product_id,
    trim_scale(newest.price)::text,
    trim_scale(newest.size)::text,
    newest.side,
    newest.time,
    newest.trade_id
FROM unnest($2::text[]) AS wanted (product_id)
CROSS JOIN LATERAL (
    SELECT price, size, side, time, trade_id
    FROM trades
    WHERE exchange = $1 AND product_id = wanted.product_id
    ORDER BY time DESC, trade_number DESC NULLS LAST
    LIMIT 1
) AS newest

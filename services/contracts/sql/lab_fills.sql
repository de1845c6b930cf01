-- The newest fills of some orders, oldest first.
SELECT newest.number, newest.price, newest.quantity, newest.time, newest.execution_sequence
FROM unnest($2::bigint[]) AS wanted (number)
CROSS JOIN LATERAL (
    SELECT s.number, s.price, s.quantity, s.time, s.execution_sequence
    FROM order_steps AS s
    WHERE s.market_group = $1 AND s.number = wanted.number AND s.execution_sequence IS NOT NULL
    ORDER BY s.input_offset DESC, s.ordinal DESC
    LIMIT $3
) AS newest
ORDER BY newest.execution_sequence

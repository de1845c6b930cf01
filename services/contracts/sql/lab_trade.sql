-- The newest order of an account under an id, if anything of it is filled: what is filled, and its newest fills.
SELECT o.market_group, o.filled, o.filled_quote, s.price, s.quantity, s.time, s.execution_sequence
FROM (
    SELECT market_group, number, filled, filled_quote
    FROM orders
    WHERE account = $1 AND id = $2
    ORDER BY number DESC
    LIMIT 1
) AS o
JOIN order_steps AS s USING (market_group, number)
WHERE s.execution_sequence IS NOT NULL
ORDER BY s.input_offset DESC, s.ordinal DESC
LIMIT $3

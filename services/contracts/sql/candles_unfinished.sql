-- The bars of these partitions that are not closed, and the newest $3 of each product that are not complete.
SELECT state.partition, candle.*
FROM product_states AS state
CROSS JOIN LATERAL (
    (
        SELECT * FROM candles
        WHERE exchange = state.exchange AND product_id = state.product_id AND NOT closed
    )
    UNION
    (
        SELECT * FROM candles
        WHERE exchange = state.exchange AND product_id = state.product_id AND NOT complete AND lowest_number IS NOT NULL
        ORDER BY "timestamp" DESC
        LIMIT $3
    )
) AS candle
WHERE state.consumer_group = $1 AND state.partition = ANY ($2::int[])

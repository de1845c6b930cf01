SELECT trade_id
FROM (
    SELECT trade_id, time FROM trades
    WHERE exchange = $1 AND product_id = $2 AND trade_number IS NULL
    ORDER BY time DESC
    LIMIT $3
) AS newest
ORDER BY time

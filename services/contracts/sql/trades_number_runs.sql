-- Runs of consecutive numbers: within one, the number minus its rank stays the same.
SELECT min(trade_number) AS first, max(trade_number) AS last
FROM (
    SELECT trade_number, trade_number - row_number() OVER (ORDER BY trade_number) AS run
    FROM (SELECT DISTINCT trade_number FROM trades WHERE exchange = $1 AND product_id = $2) AS numbers
    WHERE trade_number IS NOT NULL
) AS ranked
GROUP BY run
ORDER BY first

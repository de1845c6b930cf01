SELECT * FROM candles WHERE exchange = $1 AND product_id = $2 AND "timestamp" >= $3 AND "timestamp" < $4

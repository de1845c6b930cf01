SELECT coalesce(max(input_sequence), -1) FROM candles WHERE exchange = $1 AND product_id = $2

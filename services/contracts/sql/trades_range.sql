SELECT * FROM trades WHERE exchange = $1 AND product_id = $2 AND time >= $3 AND time < $4 ORDER BY time, trade_number

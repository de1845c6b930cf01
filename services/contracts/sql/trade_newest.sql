SELECT * FROM trades WHERE exchange = $1 AND product_id = $2 ORDER BY time DESC, trade_number DESC LIMIT 1

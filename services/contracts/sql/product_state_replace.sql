UPDATE product_states SET state = $4 WHERE consumer_group = $1 AND exchange = $2 AND product_id = $3

SELECT partition FROM product_states WHERE consumer_group = $1 AND exchange = $2 AND product_id = $3

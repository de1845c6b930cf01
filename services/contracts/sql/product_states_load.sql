SELECT exchange, product_id, partition, state
FROM product_states
WHERE consumer_group = $1 AND partition = ANY ($2::int[])

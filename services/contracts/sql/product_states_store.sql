INSERT INTO product_states (consumer_group, exchange, product_id, partition, state)
SELECT $1, given.exchange, given.product_id, given.partition, given.state
FROM unnest($2::text[], $3::text[], $4::int[], $5::bytea[]) AS given (exchange, product_id, partition, state)
ON CONFLICT (consumer_group, exchange, product_id)
DO UPDATE SET partition = excluded.partition, state = excluded.state

-- The state of one product, with its partition taken from whoever has it.
WITH taken AS (
    UPDATE positions AS p
    SET owner_epoch = owner_epoch + 1, updated_at = now()
    FROM product_states AS s
    WHERE s.consumer_group = $1 AND s.exchange = $2 AND s.product_id = $3
      AND p.consumer_group = s.consumer_group AND p.topic = $4 AND p.partition = s.partition
    RETURNING p.partition
)
SELECT s.state
FROM product_states AS s
JOIN taken ON taken.partition = s.partition
WHERE s.consumer_group = $1 AND s.exchange = $2 AND s.product_id = $3

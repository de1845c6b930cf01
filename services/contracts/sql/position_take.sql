-- Become the owner of partitions: raise the epoch, so that an older owner's next commit is rolled back.
INSERT INTO positions AS p (consumer_group, topic, partition, owner_epoch, next_offset, log_id)
SELECT $1, given.topic, given.partition, 1, given.beginning, $5
FROM unnest($2::text[], $3::int[], $4::bigint[]) AS given (topic, partition, beginning)
ORDER BY given.topic, given.partition
ON CONFLICT (consumer_group, topic, partition)
DO UPDATE SET owner_epoch = p.owner_epoch + 1, updated_at = now()
RETURNING topic, partition, owner_epoch, next_offset, log_id

-- The fence: a row comes back only where the epoch is mine and the position is what I read.
UPDATE positions AS p
SET next_offset = given.after, updated_at = now()
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS given (topic, partition, epoch, before, after)
WHERE p.consumer_group = $1
  AND p.topic = given.topic
  AND p.partition = given.partition
  AND p.owner_epoch = given.epoch
  AND p.next_offset = given.before
RETURNING p.topic, p.partition

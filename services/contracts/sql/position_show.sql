SELECT consumer_group, topic, partition, owner_epoch, next_offset, log_id, updated_at
FROM positions
WHERE consumer_group = $1
ORDER BY topic, partition

UPDATE positions
SET next_offset = $4, log_id = $5, owner_epoch = owner_epoch + 1, updated_at = now()
WHERE consumer_group = $1 AND topic = $2 AND partition = $3

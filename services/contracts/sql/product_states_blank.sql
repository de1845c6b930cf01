-- What cannot be read is rebuilt when it is loaded.
UPDATE product_states SET state = '' WHERE consumer_group = $1 AND partition = $2

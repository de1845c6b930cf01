SELECT consumer_group, topic, partition, next_offset FROM positions ORDER BY consumer_group, topic, partition

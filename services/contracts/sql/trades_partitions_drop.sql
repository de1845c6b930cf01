SELECT drop_trades_partitions_before($1)

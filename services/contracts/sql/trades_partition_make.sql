SELECT make_trades_partition($1)

-- Temporary tables, which a batch with repeats needs, are everybody's by Postgres' default.
GRANT SELECT ON schema_version TO tickplane_recorder;
GRANT SELECT, INSERT, UPDATE ON positions, product_states, gaps, feed_products TO tickplane_recorder;
GRANT SELECT, INSERT ON trades TO tickplane_recorder;
GRANT EXECUTE ON FUNCTION make_trades_partition(int), drop_trades_partitions_before(int) TO tickplane_recorder;

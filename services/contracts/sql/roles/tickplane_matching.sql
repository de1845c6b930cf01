GRANT SELECT ON schema_version TO tickplane_matching;
GRANT SELECT, INSERT, UPDATE ON positions TO tickplane_matching;
GRANT SELECT, INSERT, UPDATE, DELETE ON symbols, orders, balances, matching_snapshots TO tickplane_matching;
GRANT SELECT, INSERT, DELETE ON order_steps, executions, transfers TO tickplane_matching;

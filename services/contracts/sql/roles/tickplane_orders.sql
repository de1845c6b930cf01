GRANT SELECT ON schema_version, symbols, orders, order_steps, executions, transfers, balances, api_keys TO tickplane_orders;
GRANT SELECT, INSERT, UPDATE, DELETE ON order_ids TO tickplane_orders;
GRANT INSERT, UPDATE ON api_keys TO tickplane_orders;

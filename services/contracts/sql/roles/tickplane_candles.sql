-- Trades are read where a stored state is rebuilt, and by `tickplane rebuild`.
GRANT SELECT ON schema_version, trades TO tickplane_candles;
GRANT SELECT, INSERT, UPDATE ON positions, product_states TO tickplane_candles;
GRANT SELECT, INSERT, UPDATE, DELETE ON candles TO tickplane_candles;

-- Candles are read where a series begins, trades where a stored state is rebuilt.
GRANT SELECT ON schema_version, candles, trades TO tickplane_indicators;
GRANT SELECT, INSERT, UPDATE ON positions, product_states TO tickplane_indicators;
GRANT SELECT, INSERT, UPDATE, DELETE ON indicator_bars TO tickplane_indicators;

GRANT SELECT ON schema_version, positions, trades, candles, gaps, feed_products TO tickplane_api;

CREATE TEMP TABLE trades_staging (LIKE trades) ON COMMIT DROP

-- Bars of one product and resolution in [$4, $5), newest first. Decimals come as plain text, ready for JSON.
SELECT
    "timestamp",
    trim_scale(open)::text,
    trim_scale(high)::text,
    trim_scale(low)::text,
    trim_scale(close)::text,
    trim_scale(volume)::text,
    trim_scale(quote_volume)::text,
    trade_count,
    first_trade_id,
    last_trade_id,
    closed,
    complete,
    revision
FROM candles
WHERE exchange = $1 AND product_id = $2 AND resolution = $3 AND "timestamp" >= $4 AND "timestamp" < $5
ORDER BY "timestamp" DESC
LIMIT $6

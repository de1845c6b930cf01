-- A series of which nothing is stored yet begins with the closed bars that there are: an indicator that is added later
-- need not wait for its values. No signature, so that the first fold makes the checkpoints.
INSERT INTO indicator_bars (exchange, product_id, resolution, "timestamp", close, signature, checkpoint)
SELECT exchange, product_id, resolution, candle."timestamp", candle.close, '', ''
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (exchange, product_id, resolution)
JOIN candles AS candle USING (exchange, product_id, resolution)
WHERE candle.closed AND NOT EXISTS (
    SELECT FROM indicator_bars AS known
    WHERE known.exchange = candle.exchange AND known.product_id = candle.product_id
        AND known.resolution = candle.resolution
)
ON CONFLICT DO NOTHING

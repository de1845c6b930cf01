SELECT candle.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS wanted (exchange, product_id, resolution, "timestamp")
JOIN candles AS candle USING (exchange, product_id, resolution, "timestamp")

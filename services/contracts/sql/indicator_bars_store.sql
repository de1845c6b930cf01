INSERT INTO indicator_bars (exchange, product_id, resolution, "timestamp", close, signature, checkpoint)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[], $6::text[], $7::bytea[])
ON CONFLICT (exchange, product_id, resolution, "timestamp") DO UPDATE SET
    close = excluded.close,
    signature = excluded.signature,
    checkpoint = excluded.checkpoint

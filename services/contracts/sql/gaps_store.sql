INSERT INTO gaps (exchange, product_id, first, last, missing, status, opened_time, closed_time, reason)
SELECT $1, $2, given.*
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::text[]) AS given
ON CONFLICT (exchange, product_id, first, last) DO UPDATE SET
    missing = excluded.missing,
    status = excluded.status,
    closed_time = excluded.closed_time,
    reason = excluded.reason

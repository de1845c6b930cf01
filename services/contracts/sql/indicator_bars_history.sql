-- What it takes to fold series again: from the newest checkpoint before `since` that holds the indicators of
-- `signature`, the $6 closes up to it and all behind it; where there is none, all the closes there are.
SELECT
    wanted.exchange,
    wanted.product_id,
    wanted.resolution,
    resumed."timestamp" AS resumed_from,
    resumed.checkpoint,
    bar."timestamp",
    bar.close
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    AS wanted (exchange, product_id, resolution, since, signature)
LEFT JOIN LATERAL (
    SELECT "timestamp", checkpoint FROM indicator_bars
    WHERE exchange = wanted.exchange AND product_id = wanted.product_id AND resolution = wanted.resolution
        AND "timestamp" < wanted.since AND signature = wanted.signature
    ORDER BY "timestamp" DESC
    LIMIT 1
) AS resumed ON true
CROSS JOIN LATERAL (
    (
        SELECT "timestamp", close FROM indicator_bars
        WHERE exchange = wanted.exchange AND product_id = wanted.product_id AND resolution = wanted.resolution
            AND "timestamp" <= resumed."timestamp"
        ORDER BY "timestamp" DESC
        LIMIT $6
    )
    UNION ALL
    (
        SELECT "timestamp", close FROM indicator_bars
        WHERE exchange = wanted.exchange AND product_id = wanted.product_id AND resolution = wanted.resolution
            AND "timestamp" > coalesce(resumed."timestamp", -1)
    )
) AS bar
ORDER BY bar."timestamp"

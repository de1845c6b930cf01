-- At most $4 bars of the group's products that begin before $3, by the primary key of each series. Returns how many.
WITH old AS (
    SELECT bar.place
    FROM product_states AS state
    CROSS JOIN unnest($2::text[]) AS wanted (resolution)
    CROSS JOIN LATERAL (
        SELECT ctid AS place FROM indicator_bars
        WHERE exchange = state.exchange AND product_id = state.product_id AND resolution = wanted.resolution
            AND "timestamp" < $3
        LIMIT $4
    ) AS bar
    WHERE state.consumer_group = $1
    LIMIT $4
),
gone AS (
    DELETE FROM indicator_bars WHERE ctid = ANY (ARRAY(SELECT place FROM old)) RETURNING 1
)
SELECT count(*) FROM gone

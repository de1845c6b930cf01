-- What the primary key refuses, per exchange.
WITH inserted AS (
    INSERT INTO trades SELECT * FROM trades_staging ON CONFLICT DO NOTHING RETURNING exchange
),
staged AS (
    SELECT exchange, count(*) AS rows FROM trades_staging GROUP BY exchange
)
SELECT staged.exchange, staged.rows - (SELECT count(*) FROM inserted WHERE inserted.exchange = staged.exchange) AS repeats
FROM staged

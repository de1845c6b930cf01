SELECT
    asset,
    trim_scale(sum(available))::text AS available,
    trim_scale(sum(held))::text AS held
FROM balances
WHERE account = $1
GROUP BY asset
ORDER BY asset
LIMIT $2

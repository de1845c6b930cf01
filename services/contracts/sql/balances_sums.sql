-- What each asset adds up to over all accounts of a group, world and fees included: zero.
SELECT market_group, asset, trim_scale(sum(available + held))::text AS sum
FROM balances
GROUP BY market_group, asset
ORDER BY market_group, asset
LIMIT $1

INSERT INTO balances (market_group, account, asset, available, held)
SELECT $1, given.account, given.asset, given.available, given.held
FROM unnest($2::text[], $3::text[], $4::numeric[], $5::numeric[]) AS given (account, asset, available, held)
ON CONFLICT (market_group, account, asset)
DO UPDATE SET available = excluded.available, held = excluded.held

-- Whether the tables have results of commands at or behind a position, which would come again.
SELECT EXISTS (SELECT FROM orders WHERE market_group = $1 AND number >= $2)

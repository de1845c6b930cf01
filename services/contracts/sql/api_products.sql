-- Every product that a feed has published, of one exchange or (null) of all.
SELECT exchange, product_id, venue, contiguous_number, last_trade_time, last_message_time, open_gaps, written_time
FROM feed_products
WHERE exchange = coalesce($1, exchange)
ORDER BY exchange, product_id
LIMIT $2

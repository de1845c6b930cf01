INSERT INTO feed_products (
    exchange, product_id, venue, contiguous_number, last_trade_time, last_message_time, open_gaps, written_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (exchange, product_id) DO UPDATE SET
    venue = excluded.venue,
    contiguous_number = excluded.contiguous_number,
    last_trade_time = excluded.last_trade_time,
    last_message_time = excluded.last_message_time,
    open_gaps = excluded.open_gaps,
    written_time = excluded.written_time

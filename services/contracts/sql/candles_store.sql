INSERT INTO candles (
    exchange, product_id, resolution, "timestamp",
    open, high, low, close, volume, quote_volume, trade_count, first_trade_id, last_trade_id,
    first_time, first_number, last_time, last_number, lowest_number, highest_number,
    closed, complete, revision, input_sequence
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[],
    $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[],
    $11::bigint[], $12::text[], $13::text[],
    $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
    $20::boolean[], $21::boolean[], $22::int[], $23::bigint[]
)
ON CONFLICT (exchange, product_id, resolution, "timestamp") DO UPDATE SET
    open = excluded.open,
    high = excluded.high,
    low = excluded.low,
    close = excluded.close,
    volume = excluded.volume,
    quote_volume = excluded.quote_volume,
    trade_count = excluded.trade_count,
    first_trade_id = excluded.first_trade_id,
    last_trade_id = excluded.last_trade_id,
    first_time = excluded.first_time,
    first_number = excluded.first_number,
    last_time = excluded.last_time,
    last_number = excluded.last_number,
    lowest_number = excluded.lowest_number,
    highest_number = excluded.highest_number,
    closed = excluded.closed,
    complete = excluded.complete,
    revision = excluded.revision,
    input_sequence = excluded.input_sequence

-- What happened to orders that are there. A price that is none is kept: one that has triggered knows its stop no more.
UPDATE orders AS o
SET price = coalesce(given.price::numeric, o.price),
    stop_price = coalesce(given.stop_price::numeric, o.stop_price),
    quantity = given.quantity::numeric,
    remaining = given.remaining::numeric,
    filled = given.filled::numeric,
    filled_quote = given.filled_quote::numeric,
    fee = given.fee::numeric,
    state = given.state,
    reason = given.reason,
    updated_time = given.updated_time
FROM unnest(
    $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::bigint[]
) AS given (
    number, price, stop_price, quantity, remaining, filled, filled_quote, fee, state, reason, updated_time
)
WHERE o.market_group = $1 AND o.number = given.number

SELECT
    symbol,
    base,
    quote,
    trim_scale(tick_size) AS tick_size,
    trim_scale(lot_size) AS lot_size,
    trim_scale(reference_price) AS reference_price,
    trim_scale(min_quantity) AS min_quantity,
    trim_scale(max_quantity) AS max_quantity,
    trim_scale(min_notional) AS min_notional,
    trim_scale(max_notional) AS max_notional,
    band_bps,
    maker_fee_bps,
    taker_fee_bps,
    market_group,
    halted
FROM symbols
ORDER BY symbol
LIMIT $1

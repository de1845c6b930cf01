INSERT INTO symbols (
    symbol, market_group, base, quote, tick_size, lot_size, reference_price, min_quantity, max_quantity, min_notional,
    max_notional, band_bps, maker_fee_bps, taker_fee_bps, halted
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (symbol)
DO UPDATE SET
    market_group = excluded.market_group,
    base = excluded.base,
    quote = excluded.quote,
    tick_size = excluded.tick_size,
    lot_size = excluded.lot_size,
    reference_price = excluded.reference_price,
    min_quantity = excluded.min_quantity,
    max_quantity = excluded.max_quantity,
    min_notional = excluded.min_notional,
    max_notional = excluded.max_notional,
    band_bps = excluded.band_bps,
    maker_fee_bps = excluded.maker_fee_bps,
    taker_fee_bps = excluded.taker_fee_bps,
    halted = excluded.halted

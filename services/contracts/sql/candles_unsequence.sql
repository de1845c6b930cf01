-- Sequences are made from offsets, and those of another log say nothing.
UPDATE candles AS candle
SET input_sequence = -1
FROM product_states AS state
WHERE state.consumer_group = $1 AND state.partition = $2
  AND candle.exchange = state.exchange AND candle.product_id = state.product_id

import assert from "node:assert/strict";
import { test } from "node:test";
import { Bars, ema, isNewer, sma, vwap } from "../src/bars.ts";
import type { Candle } from "../src/protocol.ts";

const bar = (minute: number, close = 1, more: Partial<Candle> = {}): Candle => ({
  timestamp: new Date(minute * 60_000).toISOString(),
  open: "1", high: "1", low: "1", close: String(close), volume: "1", vwap: String(close),
  trade_count: 1, closed: true, complete: true, revision: 1, ...more,
});

test("bars are in order and once each, whichever side they come from", () => {
  const bars = new Bars();
  assert.equal(bars.merge([bar(3), bar(2), bar(1)]), 60);
  assert.equal(bars.merge([bar(3, 4, { revision: 2 }), bar(4, 5)]), 180);
  assert.equal(bars.merge([bar(4, 6, { revision: 2 })]), 240);
  assert.equal(bars.merge([bar(4, 5)]), null);
  assert.equal(bars.merge([bar(2, 9, { revision: 2 })]), 120);
  assert.deepEqual(bars.all.map(({ time, candle }) => [time / 60, candle.close]), [[1, "1"], [2, "9"], [3, "4"], [4, "6"]]);
});

test("later news of a bar: a higher revision, its close, more trades, its last missing trade", () => {
  const open = bar(1, 1, { closed: false, revision: 0 });
  assert.ok(isNewer(bar(1), open));
  assert.ok(!isNewer(open, bar(1)));
  assert.ok(isNewer({ ...open, trade_count: 2 }, open));
  assert.ok(isNewer({ ...open, complete: false }, open));
  assert.ok(!isNewer(open, open));
});

test("lines over closes begin when they have enough of them", () => {
  const bars = new Bars();
  bars.merge([1, 2, 3, 4, 5].map((minute) => bar(minute, minute)));
  assert.deepEqual(sma(bars.all, 3).map(({ value }) => value), [2, 3, 4]);
  assert.deepEqual(ema(bars.all, 3).map(({ value }) => value), [2, 3, 4]);
  assert.deepEqual(ema(bars.all, 9), []);
  assert.equal(vwap(bars.all).length, 5);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Market, STALE_AFTER_MS, sparkline } from "../src/market.ts";
import type { Candle, Ticker } from "../src/protocol.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const ticker = (price: string): Ticker => ({ price, last_size: "1", trade_id: "1", side: "BUY" });
const day = (timestamp: string): Candle => ({
  timestamp, open: "100", high: "120", low: "90", close: "110", volume: "5", vwap: "105",
  trade_count: 9, closed: false, complete: false, revision: 0,
});

test("the price moves up and down, and by as many digits as were ever seen", () => {
  const market = new Market("demo", "BTC-USD");
  assert.equal(market.traded(ticker("10.25"), NOW), false);
  assert.equal(market.traded(ticker("10.3"), NOW), true);
  assert.deepEqual([market.moved, market.places], ["up", 2]);
  market.traded(ticker("9.9"), NOW);
  assert.equal(market.moved, "down");
  assert.equal(market.traded(ticker("9.9"), NOW), false);
});

test("the change is the UTC day's, and yesterday's bar is none", () => {
  const market = new Market("demo", "BTC-USD");
  market.traded(ticker("110"), NOW);
  assert.equal(market.change(NOW), null);
  market.daily(day("2026-01-31T00:00:00Z"));
  market.daily(day("2026-01-30T00:00:00Z"));
  assert.ok(Math.abs(market.change(NOW)! - 0.1) < 1e-12);
  assert.equal(market.change(NOW + 86_400_000), null);
});

test("live, gap, stale: by the age of the last trade, the open gaps and the connection", () => {
  const market = new Market("demo", "BTC-USD");
  assert.equal(market.state(NOW, true), "waiting");
  market.traded(ticker("1"), NOW);
  assert.equal(market.state(NOW, true), "live");
  market.openGaps = 1;
  assert.equal(market.state(NOW, true), "gap");
  assert.equal(market.state(NOW, false), "stale");
  assert.equal(market.state(NOW + STALE_AFTER_MS + 1, true), "stale");
});

test("an hour of closes, one a minute, is kept", () => {
  const market = new Market("demo", "BTC-USD");
  for (let second = 0; second < 7_200; second += 30) market.traded(ticker(String(second)), NOW + second * 1_000);
  assert.equal(market.closes.size, 60);
  assert.equal(Math.min(...market.closes.values()), 3_630);
});

test("a sparkline fills its box, and a flat one has no NaN", () => {
  assert.equal(sparkline([1, 3, 2], 10, 4), "M0.0,4.0L5.0,0.0L10.0,2.0");
  assert.equal(sparkline([5, 5], 10, 4), "M0.0,4.0L10.0,4.0");
  assert.equal(sparkline([5], 10, 4), "");
});

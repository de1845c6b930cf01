import assert from "node:assert/strict";
import { test } from "node:test";
import type { Verdict } from "../src/protocol.ts";
import { fromAnswer, nearby, SHOWN_MAX, tickFrame, timeMs, Verdicts } from "../src/verdicts.ts";

const verdict = (at: number, more: Partial<Verdict> = {}): Verdict => ({
  trade_id: String(at), instrument_id: "ACME", price: 100 + at, volume: "1", timestamp_ns: "1795284455606416683", status: "VALID", vwap_20m: 100, ...more,
});

test("a verdict is shown and counted once, however often it comes", () => {
  const verdicts = new Verdicts();
  assert.ok(verdicts.add(verdict(1)));
  assert.ok(!verdicts.add(verdict(1)));
  verdicts.add(verdict(2, { status: "INVALID", reason: "no" }));
  assert.deepEqual([verdicts.valid, verdicts.invalid, verdicts.shown.map(({ trade_id }) => trade_id)], [1, 1, ["2", "1"]]);
});

test("the last hundred are shown, and memory does not grow", () => {
  const verdicts = new Verdicts();
  for (let at = 0; at < 10_000; at++) verdicts.add(verdict(at));
  assert.equal(verdicts.shown.length, SHOWN_MAX);
  assert.equal(verdicts.newest.length, 2 * SHOWN_MAX);
});

test("while it is paused the list stands still and counts what it holds back", () => {
  const verdicts = new Verdicts();
  verdicts.add(verdict(1));
  verdicts.pause(true);
  verdicts.add(verdict(2));
  assert.deepEqual([verdicts.shown.length, verdicts.heldBack], [1, 1]);
  verdicts.pause(false);
  assert.deepEqual([verdicts.shown.length, verdicts.heldBack], [2, 0]);
});

test("an instrument shows its last valid price and mean: an invalid tick has none", () => {
  const verdicts = new Verdicts();
  verdicts.add(verdict(1));
  verdicts.add(verdict(2, { status: "INVALID", vwap_20m: 0, price: 1e9 }));
  assert.deepEqual(verdicts.instruments.get("ACME"), { name: "ACME", price: 101, vwap: 100, valid: 1, invalid: 1 });
});

test("a tick keeps the digits that were typed", () => {
  assert.equal(tickFrame('A"B', "0.10", "9223372036854775807"), '{"instrumentId":"A\\"B","price":0.10,"volume":9223372036854775807}');
  for (const price of ["", "abc", "1,5", "0x10", "Infinity", "1.", "--1"]) assert.throws(() => tickFrame("ACME", price, "1"), /price/);
  for (const volume of ["", "1.5", "1e3", "ten"]) assert.throws(() => tickFrame("ACME", "1", volume), /volume/);
});

test("an answer is a verdict", () => {
  const answer = { tradeId: "1", instrumentId: "ACME", price: 101, volume: "1", timestampNs: "1795284455606416683", status: "VALID" as const, vwap20m: 100 };
  assert.deepEqual(fromAnswer(answer), verdict(1));
  assert.equal(timeMs(verdict(1)), 1_795_284_455_606);
});

test("a price nearby is within a tenth of a percent", () => {
  assert.deepEqual([nearby(100, 0), nearby(100, 0.5), nearby(100, 1)], ["99.90", "100.00", "100.10"]);
});

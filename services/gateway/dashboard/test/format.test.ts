import assert from "node:assert/strict";
import { test } from "node:test";
import { age, change, clock, duration, percent, placesOf, price, quantity, signed } from "../src/format.ts";

test("prices keep every digit they came with", () => {
  assert.equal(price("65000.5", 2), "65,000.50");
  assert.equal(price("12345678901234567890.123456789012345678"), "12,345,678,901,234,567,890.123456789012345678");
  assert.equal(price("7"), "7");
  assert.equal(price("0.00001234", 2), "0.00001234");
  assert.equal(placesOf("1.50"), 2);
  assert.equal(placesOf("15"), 0);
});

test("quantities are short", () => {
  assert.deepEqual([0, 0.00123, 12.3456, 1234.56, 123_456, 12_345_678, 2.5e9].map(quantity), ["0", "0.00123", "12.346", "1,234.6", "123.5K", "12.35M", "2.50B"]);
  assert.equal(quantity(Number.NaN), "–");
});

test("a change has its sign, and zero has none", () => {
  assert.equal(percent(0.0125), "+1.25 %");
  assert.equal(percent(-0.004), "−0.40 %");
  assert.equal(percent(-0.000001), "0.00 %");
  assert.equal(signed(1234.5, 1), "+1,234.5");
});

test("a change can be read without its colour", () => {
  assert.deepEqual([0.0125, -0.004, -0.00001, 0].map(change), ["▲ +1.25 %", "▼ −0.40 %", "■ 0.00 %", "■ 0.00 %"]);
});

test("an age has one unit and is never negative", () => {
  assert.deepEqual([-5_000, 400, 12_999, 59_999, 60_000, 7_200_000, 200_000_000].map(age), ["0.0 s", "0.4 s", "12 s", "59 s", "1 m", "2 h", "2 d"]);
});

test("times are UTC", () => {
  assert.equal(clock(Date.parse("2026-01-31T23:04:05.999Z")), "23:04:05");
});

test("measurements", () => {
  assert.deepEqual([0.4217, 12.4, 1_204].map(duration), ["0.42 ms", "12 ms", "1.20 s"]);
});

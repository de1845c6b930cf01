import assert from "node:assert/strict";
import { test } from "node:test";
import type { Rules } from "../src/lab.ts";
import { clientId, type Draft, mayBePostOnly, notional, orderBody, problems, TIMES_IN_FORCE } from "../src/ticket.ts";

const RULES: Rules = {
  symbol: "DEMO-USD",
  base: "DEMO",
  quote: "USD",
  tick_size: "0.01",
  lot_size: "0.001",
  reference_price: "100.00",
  min_quantity: "0.010",
  max_quantity: "1000",
  min_notional: "1",
  max_notional: "50000",
  band_bps: 1_000,
  maker_fee_bps: 10,
  taker_fee_bps: 20,
  halted: false,
};
const DRAFT: Draft = {
  side: "buy",
  type: "limit",
  price: "100.25",
  stopPrice: "",
  quantity: "1.5",
  timeInForce: "GTC",
  expiresMinutes: "60",
  postOnly: false,
  selfTrade: "cancel_newest",
};

function messages(changes: Partial<Draft>, last: string | null = "100.00", rules: Partial<Rules> = {}): string[] {
  return problems({ ...DRAFT, ...changes }, { ...RULES, ...rules }, last).map(({ field, message }) => `${field}: ${message}`);
}

test("an order that fits has no problem", () => {
  assert.deepEqual(messages({}), []);
});

test("numbers have to be numbers, above zero, and whole ticks and lots", () => {
  assert.deepEqual(messages({ price: "", quantity: "" }), ["price: A price is needed", "quantity: A quantity is needed"]);
  assert.deepEqual(messages({ price: "1e400" }), ["price: The price is not a number, as in 100.25"]);
  assert.deepEqual(messages({ price: "1,000" }), ["price: The price is not a number, as in 100.25"]);
  assert.deepEqual(messages({ quantity: "NaN" }), ["quantity: The quantity is not a number, as in 10.025"]);
  assert.deepEqual(messages({ price: "0.00" }), ["price: The price has to be above zero"]);
  assert.deepEqual(messages({ price: "100.255" }), ["price: The price has to be a multiple of 0.01"]);
  assert.deepEqual(messages({ quantity: "1.0005" }), ["quantity: The quantity has to be a multiple of 0.001"]);
  assert.deepEqual(messages({ quantity: "99999999999999999" }), ["quantity: The quantity is too large"]);
});

test("the band around the last price has its edges in it", () => {
  assert.deepEqual(messages({ price: "110.00" }), []);
  assert.deepEqual(messages({ price: "90.00" }), []);
  const told = "price: The price has to be from 90.00 to 110.00: at most 10 % from the last price, 100.00";
  assert.deepEqual(messages({ price: "110.01" }), [told]);
  assert.deepEqual(messages({ price: "89.99" }), [told]);
});

test("the band is rounded inwards", () => {
  assert.match(messages({ price: "1" }, "0.33")[0]!, /from 0\.30 to 0\.36/);
});

test("where the last price is not known the band is left to the server", () => {
  assert.deepEqual(messages({ price: "500" }, null), []);
});

test("quantity and notional have bounds, which are allowed themselves", () => {
  assert.deepEqual(messages({ quantity: "0.01", price: "100" }), []);
  assert.deepEqual(messages({ quantity: "0.009" }), ["quantity: The quantity has to be at least 0.010 DEMO"]);
  assert.deepEqual(messages({ quantity: "1000.001" }), ["quantity: The quantity has to be at most 1,000 DEMO"]);
  assert.deepEqual(messages({ quantity: "0.01", price: "99.99" }), ["quantity: 0.9999 USD in all: at least 1 USD is needed"]);
  assert.deepEqual(messages({ quantity: "500", price: "100.01" }), ["quantity: 50,005 USD in all: at most 50,000 USD is allowed"]);
});

test("a market order has no price to check", () => {
  assert.deepEqual(messages({ type: "market", price: "nonsense", timeInForce: "IOC" }), []);
  assert.equal(notional({ ...DRAFT, type: "market" }), null);
});

test("a stop may not have been reached by the last trade", () => {
  assert.deepEqual(messages({ type: "stop", stopPrice: "100.01" }), []);
  assert.deepEqual(messages({ type: "stop", stopPrice: "100" }), ["stop_price: A buy stop has to be above the last price, 100.00"]);
  assert.deepEqual(messages({ type: "stop", side: "sell", stopPrice: "100" }), ["stop_price: A sell stop has to be below the last price, 100.00"]);
  assert.deepEqual(messages({ type: "stop", stopPrice: "100" }, null), []);
});

test("the limit of a stop-limit is held against its own stop price", () => {
  assert.deepEqual(messages({ type: "stop_limit", stopPrice: "120", price: "132" }), []);
  assert.deepEqual(messages({ type: "stop_limit", stopPrice: "120", price: "132.01" }), [
    "price: The price has to be from 108.00 to 132.00: at most 10 % from the stop price, 120.00",
  ]);
});

test("an order for some minutes needs to know how many", () => {
  assert.deepEqual(messages({ timeInForce: "GTD", expiresMinutes: "30" }), []);
  for (const expiresMinutes of ["", "0", "soon", "99999999"]) assert.equal(messages({ timeInForce: "GTD", expiresMinutes }).length, 1, expiresMinutes);
});

test("only what goes together is sent", () => {
  const now = Date.parse("2026-01-31T12:00:00Z");
  assert.deepEqual(orderBody(DRAFT, "DEMO-USD", "a", now), {
    id: "a",
    symbol: "DEMO-USD",
    side: "buy",
    type: "limit",
    quantity: "1.5",
    price: "100.25",
    time_in_force: "GTC",
    self_trade: "cancel_newest",
  });
  const stop = orderBody({ ...DRAFT, type: "stop", stopPrice: "105", timeInForce: "GTD", expiresMinutes: "30", postOnly: true }, "DEMO-USD", "b", now);
  assert.equal(stop.price, undefined);
  assert.equal(stop.stop_price, "105");
  assert.equal(stop.expire_time, "2026-01-31T12:30:00.000Z");
  assert.equal(stop.post_only, undefined);
  assert.equal(orderBody({ ...DRAFT, postOnly: true }, "DEMO-USD", "c", now).post_only, true);
});

test("post-only goes with limit orders that may rest", () => {
  assert.ok(mayBePostOnly(DRAFT));
  assert.ok(!mayBePostOnly({ ...DRAFT, timeInForce: "IOC" }));
  assert.ok(!mayBePostOnly({ ...DRAFT, type: "market", timeInForce: "IOC" }));
});

test("every type has a usual time in force", () => {
  for (const times of Object.values(TIMES_IN_FORCE)) assert.ok(times.length > 0);
});

test("no two orders have the same id", () => {
  const ids = new Set(Array.from({ length: 1_000 }, clientId));
  assert.equal(ids.size, 1_000);
  for (const id of ids) assert.match(id, /^web-[0-9a-f]{24}$/);
});

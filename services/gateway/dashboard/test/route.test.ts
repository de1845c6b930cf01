import assert from "node:assert/strict";
import { test } from "node:test";
import { chartHash, ordersHash, parseRoute } from "../src/route.ts";

test("a chart's address is read as it was written", () => {
  assert.deepEqual(parseRoute(chartHash("demo", "A/B %-USD", "5m")), { view: "chart", exchange: "demo", product: "A/B %-USD", resolution: "5m" });
});

test("what is left out has a default, what makes no sense is the markets", () => {
  assert.deepEqual(parseRoute("#/chart"), { view: "chart", exchange: null, product: null, resolution: "1m" });
  for (const hash of ["", "#", "#/", "#/nothing", "#/%E0%A4%A"]) assert.deepEqual(parseRoute(hash), { view: "markets" });
});

test("the orders' address names a symbol or none", () => {
  assert.deepEqual(parseRoute(ordersHash("A/B-USD")), { view: "orders", symbol: "A/B-USD" });
  assert.deepEqual(parseRoute("#/orders"), { view: "orders", symbol: null });
});

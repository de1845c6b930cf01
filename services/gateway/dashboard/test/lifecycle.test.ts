import assert from "node:assert/strict";
import { test } from "node:test";
import { isOpen, reasonText, sentence } from "../src/lifecycle.ts";
import type { OrderBody } from "../src/ticket.ts";

const ORDER: OrderBody = { id: "a", symbol: "DEMO-USD", side: "buy", type: "limit", quantity: "1.500", price: "1100.50", time_in_force: "GTC", self_trade: "cancel_newest" };

test("an order is one sentence", () => {
  assert.equal(sentence(ORDER), "Buy 1.5 DEMO-USD at 1,100.5");
  const { price: _price, ...market } = ORDER;
  assert.equal(sentence({ ...market, side: "sell", type: "market" }), "Sell 1.5 DEMO-USD at market");
  assert.equal(sentence({ ...market, type: "stop", stop_price: "1200" }), "Buy 1.5 DEMO-USD at market, once 1,200 is reached");
  assert.equal(sentence({ ...ORDER, type: "stop_limit", stop_price: "1090" }), "Buy 1.5 DEMO-USD at 1,100.5, once 1,090 is reached");
});

test("a reason that is not known is shown as it came", () => {
  assert.equal(reasonText("insufficient_balance"), "the account has not enough for it");
  assert.equal(reasonText("a_new_reason"), "a new reason");
  assert.equal(reasonText(null), "");
});

test("what is over is not open", () => {
  assert.deepEqual(
    (["received", "accepted", "resting", "partially_filled", "filled", "cancelled", "rejected", "expired"] as const).map((state) => isOpen({ state })),
    [true, true, true, true, false, false, false, false],
  );
});

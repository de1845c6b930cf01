import assert from "node:assert/strict";
import { test } from "node:test";
import { Timing } from "../src/timing.ts";

test("until a ping is answered the greeting tells the time", () => {
  const timing = new Timing();
  timing.greeted(5_000, 4_000);
  assert.deepEqual([timing.offsetMs, timing.roundTripMs], [1_000, null]);
});

test("the shortest round trip is believed about the clock, the last one about the network", () => {
  const timing = new Timing();
  timing.greeted(0, 0);
  timing.pinged(1, 1_000);
  timing.answered(1, 1_502, 1_004);
  timing.pinged(2, 2_000);
  timing.answered(2, 2_900, 2_400);
  assert.deepEqual([timing.offsetMs, timing.roundTripMs], [500, 400]);
});

test("an answer to nothing is passed over", () => {
  const timing = new Timing();
  timing.greeted(7, 0);
  timing.pinged(1, 1);
  timing.greeted(7, 0);
  timing.answered(1, 9_999, 2);
  assert.equal(timing.offsetMs, 7);
});

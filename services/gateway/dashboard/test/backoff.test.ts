import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, BASE_MS, MAX_MS, mayComeBack, STABLE_MS } from "../src/backoff.ts";

test("the wait is anywhere below a ceiling that doubles up to its limit", () => {
  const longest = new Backoff(() => 1);
  assert.deepEqual([1, 2, 3].map(() => longest.next()), [BASE_MS, 2 * BASE_MS, 4 * BASE_MS]);
  for (let attempt = 0; attempt < 50; attempt++) longest.next();
  assert.equal(longest.next(), MAX_MS);
  assert.equal(new Backoff(() => 0).next(), 0);
});

test("a server that says goodbye is believed about when to come back", () => {
  assert.equal(new Backoff(() => 1).next(1_234), 1_234);
});

test("only a connection that lasted makes the wait short again", () => {
  const backoff = new Backoff(() => 1);
  backoff.next();
  backoff.lived(STABLE_MS - 1);
  assert.equal(backoff.next(), 2 * BASE_MS);
  backoff.lived(STABLE_MS);
  assert.equal(backoff.next(), BASE_MS);
});

test("4500 to 4999 do not come back", () => {
  assert.deepEqual([1001, 1006, 1011, 4008, 4429, 4504].map(mayComeBack), [true, true, true, true, true, false]);
});

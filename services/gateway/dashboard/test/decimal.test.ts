import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, isTyped, multiply, ofSteps, stepsOf, trimmed } from "../src/decimal.ts";

test("a price is a whole number of ticks or none", () => {
  assert.equal(stepsOf("100.25", "0.01"), 10_025);
  assert.equal(stepsOf("100.255", "0.01"), null);
  assert.equal(stepsOf("100", "0.05"), 2_000);
  assert.equal(stepsOf("0.3", "0.1"), 3, "a float would say 2.9999999999999996");
  assert.equal(stepsOf("0.00000000", "1E-8"), 0);
  assert.equal(stepsOf("1E-8", "0.00000001"), 1);
});

test("steps as text have the step's digits", () => {
  assert.equal(ofSteps(10_050, "0.01"), "100.50");
  assert.equal(ofSteps(3, "5"), "15");
  assert.equal(ofSteps(7, "0.001"), "0.007");
  assert.equal(ofSteps(Number.MAX_SAFE_INTEGER, "0.01"), "90071992547409.91");
});

test("more digits than a float has stay what they are", () => {
  assert.equal(multiply("90071992547409.93", "0.001"), "90071992547.40993");
  assert.equal(compare("0.10000000000000000001", "0.1"), 1);
  assert.equal(compare("2", "10"), -1);
  assert.equal(compare("1.50", "1.5"), 0);
});

test("zeros at the end are left out, those of a whole number are not", () => {
  assert.equal(trimmed("100.5000"), "100.5");
  assert.equal(trimmed("100.000"), "100");
  assert.equal(trimmed("100"), "100");
  assert.equal(trimmed("1E+2"), "100");
  assert.equal(trimmed("-0.50"), "-0.5");
});

test("only what people write for a number is one", () => {
  for (const text of ["1", "1.5", "0.001", "007"]) assert.ok(isTyped(text), text);
  for (const text of ["", "1,000", "1e5", "-1", "+1", ".5", "5.", "NaN", "Infinity", "0x10", "1 "]) assert.ok(!isTyped(text), text);
});

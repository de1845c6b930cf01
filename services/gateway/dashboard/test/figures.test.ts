import assert from "node:assert/strict";
import { test } from "node:test";
import { byGroup, Sample } from "../src/figures.ts";

const lag = (consumer_group: string, partition: number, behind: number | null) => ({
  consumer_group, topic: "market_trades", partition, next_offset: 0, end_offset: behind, lag: behind,
});

test("partitions are summed, and those whose end is not known are said", () => {
  assert.deepEqual(byGroup([lag("b", 0, 5), lag("a", 0, 1), lag("b", 1, 7), lag("b", 2, null)]), [
    { group: "a", topic: "market_trades", partitions: 1, lag: 1, unknown: 0, worst: 1 },
    { group: "b", topic: "market_trades", partitions: 3, lag: 12, unknown: 1, worst: 7 },
  ]);
});

test("percentiles of the newest values", () => {
  const sample = new Sample(100);
  assert.equal(sample.percentile(0.5), null);
  for (let value = 1; value <= 1_000; value++) sample.add(value);
  assert.deepEqual([sample.count, sample.percentile(0.5), sample.percentile(0.99), sample.percentile(1)], [100, 950, 999, 1000]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 as zlibCrc32 } from "node:zlib";
import { crc32 } from "../src/crc32.ts";
import { Depth } from "../src/depth.ts";
import type { BookLevel } from "../src/protocol.ts";

/** Of a book whose levels are given in ticks and lots, best first, as the order lab's docs say. */
const checksum = (...levels: [number, number][]): number => zlibCrc32(levels.map(([ticks, lots]) => `${ticks}:${lots}`).join(","));
const BIDS: BookLevel[] = [["99.50", "2.000"], ["99.00", "1.500"]];
const ASKS: BookLevel[] = [["100.50", "1.000"], ["101.00", "0.500"]];
const SIZES = { tick_size: "0.01", lot_size: "0.001" };
const SNAPSHOT = { ...SIZES, book_sequence: 7, bids: BIDS, asks: ASKS, checksum: checksum([9950, 2000], [9900, 1500], [10050, 1000], [10100, 500]) };

function book(): Depth {
  const depth = new Depth();
  assert.ok(depth.snapshot(SNAPSHOT));
  return depth;
}

test("the checksum is zlib's", () => {
  for (const text of ["", "123456789", "9950:2000,10050:1000"]) assert.equal(crc32(text), zlibCrc32(text));
});

test("a snapshot is the book, best prices first, with what is up to each", () => {
  const depth = book();
  assert.deepEqual(depth.bids(10), [{ ticks: 9950, lots: 2000, total: 2000 }, { ticks: 9900, lots: 1500, total: 3500 }]);
  assert.deepEqual(depth.asks(1), [{ ticks: 10050, lots: 1000, total: 1000 }]);
});

test("a change adds a level in its place, alters one and takes one away", () => {
  const depth = book();
  const after = checksum([9950, 2000], [9925, 1], [9900, 1500], [10050, 400]);
  assert.ok(depth.change({ book_sequence: 10, book_previous: 7, bids: [["99.25", "0.001"]], asks: [["100.50", "0.400"], ["101.00", "0"]], checksum: after }));
  assert.deepEqual(depth.bids(10).map(({ ticks }) => ticks), [9950, 9925, 9900]);
  assert.deepEqual(depth.asks(10).map(({ lots }) => lots), [400]);
});

test("a level that was never there may go", () => {
  const depth = book();
  assert.ok(depth.change({ book_sequence: 8, book_previous: 7, bids: [["98.00", "0"]], asks: [], checksum: SNAPSHOT.checksum }));
  assert.equal(depth.bids(10).length, 2);
});

test("after a hole there is no book until the next snapshot", () => {
  const depth = book();
  const lost = { book_sequence: 10, book_previous: 9, bids: [], asks: [], checksum: SNAPSHOT.checksum };
  assert.ok(!depth.change(lost));
  assert.ok(!depth.known);
  assert.deepEqual(depth.bids(10), []);
  assert.ok(depth.change({ ...lost, book_sequence: 11, book_previous: 10 }), "what comes before the snapshot says nothing");
  assert.ok(!depth.known);
  assert.ok(depth.snapshot(SNAPSHOT));
  assert.ok(depth.known);
});

test("what the snapshot has already changes nothing", () => {
  const depth = book();
  assert.ok(depth.change({ book_sequence: 7, book_previous: 6, bids: [["99.50", "0"]], asks: [], checksum: 0 }));
  assert.equal(depth.bids(1)[0]!.ticks, 9950);
});

test("a wrong checksum voids the book", () => {
  const depth = book();
  assert.ok(!depth.change({ book_sequence: 8, book_previous: 7, bids: [["99.50", "1.999"]], asks: [], checksum: SNAPSHOT.checksum }));
  assert.ok(!depth.known);
  assert.ok(!new Depth().snapshot({ ...SNAPSHOT, checksum: 1 }));
});

test("only the ten best of each side are in the checksum", () => {
  const levels = Array.from({ length: 12 }, (_none, at): [number, number] => [1_000 - at, at + 1]);
  const bids = levels.map(([ticks, lots]): BookLevel => [String(ticks), String(lots)]);
  const depth = new Depth();
  assert.ok(depth.snapshot({ tick_size: "1", lot_size: "1", book_sequence: 1, bids, asks: [], checksum: checksum(...levels.slice(0, 10)) }));
  assert.equal(depth.bids(20).length, 12);
});

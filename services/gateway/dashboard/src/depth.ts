/**
 * A symbol's book by price level, from a snapshot and what changed since. No page in here.
 *
 * A change is taken only when it follows the last one and the checksum after it is right. Else the book is void until
 * the next snapshot: a ladder with a level too many is worse than none.
 */

import { crc32 } from "./crc32.ts";
import { stepsOf } from "./decimal.ts";
import type { BookChange, BookLevel, BookSnapshot } from "./protocol.ts";

const CHECKSUM_LEVELS = 10;

/** Prices in ticks, quantities in lots, as the checksum has them. */
export interface Level {
  ticks: number;
  lots: number;
  /** Lots at this price and at better ones. */
  total: number;
}

export class Depth {
  tickSize = "1";
  lotSize = "1";
  #bids = new Ladder(-1);
  #asks = new Ladder(1);
  #sequence: number | null = null;

  /** Whether there is a book: not before the first snapshot, nor after a hole. */
  get known(): boolean {
    return this.#sequence !== null;
  }

  /** Returns whether the checksum is right. */
  snapshot({ book_sequence, bids, asks, checksum, tick_size, lot_size }: BookSnapshot): boolean {
    this.clear();
    this.tickSize = tick_size;
    this.lotSize = lot_size;
    this.#write(bids, asks);
    this.#sequence = book_sequence;
    return this.#check(checksum);
  }

  /** Returns false when something is missing: a snapshot is needed. Before the first one changes say nothing. */
  change({ book_sequence, book_previous, bids, asks, checksum }: BookChange): boolean {
    if (this.#sequence === null || book_sequence <= this.#sequence) return true;
    if (book_previous !== this.#sequence) {
      this.clear();
      return false;
    }
    this.#write(bids, asks);
    this.#sequence = book_sequence;
    return this.#check(checksum);
  }

  clear(): void {
    this.#bids = new Ladder(-1);
    this.#asks = new Ladder(1);
    this.#sequence = null;
  }

  /** Best first, at most so many. */
  bids(count: number): Level[] {
    return this.#bids.best(count);
  }

  asks(count: number): Level[] {
    return this.#asks.best(count);
  }

  #write(bids: readonly BookLevel[], asks: readonly BookLevel[]): void {
    for (const [ladder, levels] of [[this.#bids, bids], [this.#asks, asks]] as const) {
      for (const [price, quantity] of levels) ladder.set(stepsOf(price, this.tickSize)!, stepsOf(quantity, this.lotSize)!);
    }
  }

  #check(checksum: number): boolean {
    const best = [...this.bids(CHECKSUM_LEVELS), ...this.asks(CHECKSUM_LEVELS)];
    if (crc32(best.map(({ ticks, lots }) => `${ticks}:${lots}`).join(",")) === checksum) return true;
    this.clear();
    return false;
  }
}

/** One side. `sign` is 1 where the lowest price is the best. */
class Ladder {
  readonly #sign: number;
  readonly #lots = new Map<number, number>();
  /** Best first. */
  readonly #prices: number[] = [];

  constructor(sign: number) {
    this.#sign = sign;
  }

  /** No lots: the level is gone. */
  set(ticks: number, lots: number): void {
    const isThere = this.#lots.has(ticks);
    if (lots > 0) this.#lots.set(ticks, lots);
    else this.#lots.delete(ticks);
    if (isThere === lots > 0) return;
    const at = this.#placeOf(ticks);
    if (lots > 0) this.#prices.splice(at, 0, ticks);
    else this.#prices.splice(at, 1);
  }

  best(count: number): Level[] {
    let total = 0;
    return this.#prices.slice(0, count).map((ticks) => {
      const lots = this.#lots.get(ticks)!;
      total += lots;
      return { ticks, lots, total };
    });
  }

  /** How many prices are better. */
  #placeOf(ticks: number): number {
    let [low, high] = [0, this.#prices.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#prices[middle]! - ticks) * this.#sign < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

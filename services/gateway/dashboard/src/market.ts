/** What is known of one product, and what follows from it. No page in here. */

import type { Feed } from "./api.ts";
import { placesOf } from "./format.ts";
import type { Candle, Ticker } from "./protocol.ts";

export type FeedState = "live" | "stale" | "gap" | "waiting";

/** A product without a trade for so long is called stale: its price may still be the last one, but nobody can tell. */
export const STALE_AFTER_MS = 60_000;
export const HISTORY_MINUTES = 60;
const MINUTE_MS = 60_000;

export class Market {
  readonly exchange: string;
  readonly product: string;
  price: string | null = null;
  /** Digits after the point: the most that were seen, so that the column does not jump. */
  places = 0;
  lastTradeMs: number | null = null;
  moved: "up" | "down" | null = null;
  day: Candle | null = null;
  openGaps = 0;
  /** Closes of the last hour's minutes, by the minute's start. */
  readonly closes = new Map<number, number>();

  constructor(exchange: string, product: string) {
    this.exchange = exchange;
    this.product = product;
  }

  /** Returns whether the price is another than before. */
  traded(ticker: Ticker, time_ms: number): boolean {
    const before = this.price;
    this.price = ticker.price;
    this.lastTradeMs = time_ms;
    this.places = Math.max(this.places, placesOf(ticker.price));
    this.closed(time_ms, Number(ticker.price));
    if (before === null || before === ticker.price) return false;
    this.moved = Number(ticker.price) > Number(before) ? "up" : "down";
    return true;
  }

  /** The price at the end of the minute that holds this time, so far. */
  closed(time_ms: number, price: number): void {
    const minute = time_ms - (time_ms % MINUTE_MS);
    this.closes.set(minute, price);
    for (const old of this.closes.keys()) {
      if (old <= minute - HISTORY_MINUTES * MINUTE_MS) this.closes.delete(old);
    }
  }

  daily(candle: Candle): void {
    if (this.day === null || candle.timestamp >= this.day.timestamp) this.day = candle;
  }

  reported(feed: Feed): void {
    this.openGaps = feed.open_gaps;
  }

  /** Since the first trade of the day (UTC); null before its first bar, and once the day is over. */
  change(now_ms: number): number | null {
    const today = this.today(now_ms);
    if (today === null || this.price === null) return null;
    return Number(this.price) / Number(today.open) - 1;
  }

  today(now_ms: number): Candle | null {
    return this.day !== null && this.day.timestamp.slice(0, 10) === new Date(now_ms).toISOString().slice(0, 10) ? this.day : null;
  }

  ageMs(now_ms: number): number | null {
    return this.lastTradeMs === null ? null : now_ms - this.lastTradeMs;
  }

  state(now_ms: number, connected: boolean): FeedState {
    const age_ms = this.ageMs(now_ms);
    if (age_ms === null) return "waiting";
    if (!connected || age_ms > STALE_AFTER_MS) return "stale";
    return this.openGaps > 0 ? "gap" : "live";
  }
}

/** A line through the values in a box of this size, as an SVG path; empty for fewer than two. */
export function sparkline(values: readonly number[], width: number, height: number): string {
  if (values.length < 2) return "";
  const low = Math.min(...values);
  const range = Math.max(...values) - low || 1;
  const points = values.map((value, at) => {
    const x = (at / (values.length - 1)) * width;
    const y = height - ((value - low) / range) * height;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}

/** Bars of one product and resolution, from REST and from the stream, in order and once each; and lines over them. */

import type { Candle } from "./protocol.ts";

export interface Bar {
  /** Start, in seconds since the epoch. */
  time: number;
  candle: Candle;
}

export interface Point {
  time: number;
  value: number;
}

export class Bars {
  readonly #bars = new Map<number, Candle>();
  #sorted: Bar[] = [];

  /** Returns the start of the earliest bar that is new or another than before; null where nothing changed. */
  merge(candles: readonly Candle[]): number | null {
    let earliest: number | null = null;
    for (const candle of candles) {
      const time = Date.parse(candle.timestamp) / 1_000;
      const known = this.#bars.get(time);
      if (known !== undefined && !isNewer(candle, known)) continue;
      this.#bars.set(time, candle);
      earliest = Math.min(earliest ?? time, time);
    }
    if (earliest !== null) this.#sort();
    return earliest;
  }

  get all(): readonly Bar[] {
    return this.#sorted;
  }

  at(time: number): Candle | undefined {
    return this.#bars.get(time);
  }

  #sort(): void {
    this.#sorted = [...this.#bars].map(([time, candle]) => ({ time, candle })).sort((one, other) => one.time - other.time);
  }
}

/** Whether it is later news of the same bar: REST and the stream may overtake each other. */
export function isNewer(candle: Candle, known: Candle): boolean {
  if (candle.revision !== known.revision) return candle.revision > known.revision;
  if (candle.closed !== known.closed) return candle.closed;
  return candle.trade_count > known.trade_count || (candle.trade_count === known.trade_count && candle.complete !== known.complete);
}

/** The mean of the last `length` closes; none for the first `length - 1` bars. */
export function sma(bars: readonly Bar[], length: number): Point[] {
  const points: Point[] = [];
  let sum = 0;
  bars.forEach(({ time, candle }, at) => {
    sum += Number(candle.close);
    if (at >= length) sum -= Number(bars[at - length]!.candle.close);
    if (at >= length - 1) points.push({ time, value: sum / length });
  });
  return points;
}

/** Exponential, `alpha = 2 / (length + 1)`, beginning with the mean of the first `length` closes. */
export function ema(bars: readonly Bar[], length: number): Point[] {
  const [first] = sma(bars.slice(0, length), length);
  if (first === undefined) return [];
  const alpha = 2 / (length + 1);
  const points = [first];
  for (const { time, candle } of bars.slice(length)) {
    const { value } = points.at(-1)!;
    points.push({ time, value: value + alpha * (Number(candle.close) - value) });
  }
  return points;
}

/** Each bar's own volume-weighted mean price. */
export function vwap(bars: readonly Bar[]): Point[] {
  return bars.map(({ time, candle }) => ({ time, value: Number(candle.vwap) }));
}

/** The newest verdicts, each once, and what they add up to; and what a ticket sends. No page in here. */

import type { Verdict } from "./protocol.ts";

export const SHOWN_MAX = 100;
const NS_PER_MS = 1_000_000n;

/** What the ticket's own socket answers. */
export interface MarketDataAnswer {
  tradeId: string;
  instrumentId: string;
  price: number;
  volume: string;
  timestampNs: string;
  status: Verdict["status"];
  reason?: string;
  vwap20m: number;
}

export function fromAnswer(answer: MarketDataAnswer): Verdict {
  const { tradeId, instrumentId, price, volume, timestampNs, status, reason, vwap20m } = answer;
  const verdict: Verdict = { trade_id: tradeId, instrument_id: instrumentId, price, volume, timestamp_ns: timestampNs, status, vwap_20m: vwap20m };
  return reason === undefined ? verdict : { ...verdict, reason };
}

export function timeMs({ timestamp_ns }: Verdict): number {
  return Number(BigInt(timestamp_ns) / NS_PER_MS);
}

export interface Instrument {
  name: string;
  price: number;
  vwap: number;
  valid: number;
  invalid: number;
}

export class Verdicts {
  /** Newest first. */
  newest: Verdict[] = [];
  valid = 0;
  invalid = 0;
  /** Added since the last `pause`. */
  heldBack = 0;
  readonly instruments = new Map<string, Instrument>();
  readonly #known = new Set<string>();
  #shown: Verdict[] | null = null;

  /** Returns whether it is a new one: an own tick comes twice, as its answer and with everybody's. */
  add(verdict: Verdict): boolean {
    if (this.#known.has(verdict.trade_id)) return false;
    this.#known.add(verdict.trade_id);
    this.newest.unshift(verdict);
    // Twice as many are known as shown: what falls off the list may still come a second time.
    while (this.newest.length > 2 * SHOWN_MAX) this.#known.delete(this.newest.pop()!.trade_id);
    if (this.#shown !== null) this.heldBack += 1;
    this.#count(verdict);
    return true;
  }

  get shown(): readonly Verdict[] {
    return this.#shown ?? this.newest.slice(0, SHOWN_MAX);
  }

  get paused(): boolean {
    return this.#shown !== null;
  }

  pause(paused: boolean): void {
    this.#shown = paused ? this.newest.slice(0, SHOWN_MAX) : null;
    this.heldBack = 0;
  }

  #count({ instrument_id, price, vwap_20m, status }: Verdict): void {
    const known = this.instruments.get(instrument_id) ?? { name: instrument_id, price: 0, vwap: 0, valid: 0, invalid: 0 };
    this.instruments.set(instrument_id, known);
    if (status === "VALID") {
      this.valid += 1;
      Object.assign(known, { price: Number(price), vwap: vwap_20m, valid: known.valid + 1 });
    } else {
      this.invalid += 1;
      known.invalid += 1;
    }
  }
}

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const WHOLE = /^-?(0|[1-9]\d*)$/;

/**
 * The frame of a tick. Numbers are put in as they were typed, for a volume may have more digits than a float. What only
 * breaks a rule (a price out of its band, a name too long) is sent: the answer says so. Throws what is no tick at all.
 */
export function tickFrame(instrument: string, price: string, volume: string): string {
  if (!JSON_NUMBER.test(price)) throw new Error("The price is not a number, as in 101.25");
  if (!WHOLE.test(volume)) throw new Error("The volume is not a whole number, as in 100");
  return `{"instrumentId":${JSON.stringify(instrument)},"price":${price},"volume":${volume}}`;
}

/** A price near the one before: at most a tenth of a percent away. `random` is in [0, 1). */
export function nearby(price: number, random: number): string {
  return (price * (1 + (random - 0.5) * 0.002)).toFixed(2);
}

/** How long to wait before the next attempt to connect: exponential, with full jitter, so that clients do not come back together. */

export const BASE_MS = 250;
export const MAX_MS = 15_000;
/** A connection that lived this long was a good one: the next wait begins short again. */
export const STABLE_MS = 10_000;

export class Backoff {
  #attempts = 0;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** `hint` is what the server asked for when it said goodbye; it has spread its clients itself. */
  next(hint_ms?: number): number {
    const ceiling_ms = Math.min(MAX_MS, BASE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    return hint_ms ?? this.#random() * ceiling_ms;
  }

  /** A connection ended after this time. */
  lived(duration_ms: number): void {
    if (duration_ms >= STABLE_MS) this.#attempts = 0;
  }
}

/** Close codes 4500 to 4999 ask a client not to come back. */
export function mayComeBack(closeCode: number): boolean {
  return closeCode < 4500 || closeCode > 4999;
}

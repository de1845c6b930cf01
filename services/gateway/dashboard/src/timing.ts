/** What pings tell: how long one takes, and how far the server's clock is from this machine's. */

/** Measurements older than this many pings are forgotten: clocks drift. */
const KEPT_MAX = 60;

export class Timing {
  /** The last round trip, in milliseconds; null before the first. */
  roundTripMs: number | null = null;
  readonly #sentAt = new Map<string | number, number>();
  #measured: { roundTripMs: number; offsetMs: number }[] = [];
  #greetingMs = 0;

  /** A greeting tells the server's time, a little late. */
  greeted(serverTimeMs: number, nowMs: number): void {
    this.#sentAt.clear();
    this.#greetingMs = serverTimeMs - nowMs;
  }

  pinged(id: string | number, nowMs: number): void {
    this.#sentAt.set(id, nowMs);
  }

  /** The server's time is taken to be that of the middle of the round trip. */
  answered(id: string | number, serverTimeMs: number, nowMs: number): void {
    const sentAt = this.#sentAt.get(id);
    if (sentAt === undefined) return;
    this.#sentAt.delete(id);
    this.roundTripMs = nowMs - sentAt;
    this.#measured.push({ roundTripMs: this.roundTripMs, offsetMs: serverTimeMs - (sentAt + nowMs) / 2 });
    this.#measured = this.#measured.slice(-KEPT_MAX);
  }

  /** The server's clock minus this machine's, in milliseconds: by the shortest round trip, which errs the least. */
  get offsetMs(): number {
    if (this.#measured.length === 0) return this.#greetingMs;
    return this.#measured.reduce((best, each) => (each.roundTripMs < best.roundTripMs ? each : best)).offsetMs;
  }
}

/** This machine's clock in milliseconds since the epoch, finer than `Date.now()` has it. */
export function machineNow(): number {
  return performance.timeOrigin + performance.now();
}

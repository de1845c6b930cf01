/** What the operations page works out from `/v1/status` and from what it receives itself. */

import type { Lag } from "./api.ts";

export interface GroupLag {
  group: string;
  topic: string;
  partitions: number;
  /** Records of all partitions whose end is known. */
  lag: number;
  /** Partitions whose end is not known. */
  unknown: number;
  worst: number;
}

/** One line a group and topic, in the order of the alphabet. */
export function byGroup(lags: readonly Lag[]): GroupLag[] {
  const groups = new Map<string, GroupLag>();
  for (const { consumer_group: group, topic, lag } of lags) {
    const key = `${group}\n${topic}`;
    const sum = groups.get(key) ?? { group, topic, partitions: 0, lag: 0, unknown: 0, worst: 0 };
    groups.set(key, sum);
    sum.partitions += 1;
    if (lag === null) sum.unknown += 1;
    sum.lag += lag ?? 0;
    sum.worst = Math.max(sum.worst, lag ?? 0);
  }
  return [...groups].sort(([one], [other]) => one.localeCompare(other)).map(([, sum]) => sum);
}

/** The newest measurements, and their percentiles. */
export class Sample {
  readonly #values: number[] = [];
  readonly #size: number;
  #next = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(value: number): void {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % this.#size;
  }

  get count(): number {
    return this.#values.length;
  }

  /** The smallest value that this share of them does not exceed; null while there is none. */
  percentile(share: number): number | null {
    const sorted = this.#values.toSorted((one, other) => one - other);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  }
}

/** What a view is to the page. */

import type { Route } from "./route.ts";
import type { Stream } from "./stream.ts";

export interface View {
  /** The address changed and still names this view. */
  moved?(route: Route): void;
  /** Ends every subscription and timer. */
  leave(): void;
}

export type Mount = (root: HTMLElement, stream: Stream, route: Route) => View;

/** Runs at once and then each interval, one at a time; a view that left stops it. */
export function every(interval_ms: number, work: () => Promise<void> | void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const run = async (): Promise<void> => {
    await work();
    if (!stopped) timer = setTimeout(run, interval_ms);
  };
  void run();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

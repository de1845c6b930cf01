/** The live depth ladder of one symbol: asks above, bids below, the spread between. A click takes a level's price. */

import { ofSteps, stepsOf } from "../../decimal.ts";
import { Depth, type Level } from "../../depth.ts";
import { arrowKeys, h, paint, setData, setText } from "../../dom.ts";
import { clock, price as grouped } from "../../format.ts";
import { type BookChange, type BookSnapshot, LAB_EXCHANGE } from "../../protocol.ts";
import type { Stream } from "../../stream.ts";

const LEVELS_SHOWN = 8;
/** A book that is never right must not be asked for without end. */
const AGAIN_AFTER_MS = 1_000;

export class LadderPanel {
  readonly element: HTMLElement;
  readonly #stream: Stream;
  readonly #state = h("span", { class: "ladder-state number", role: "status" });
  readonly #spread = h("p", { class: "spread number" });
  readonly #asks: Row[];
  readonly #bids: Row[];
  readonly #depth = new Depth();
  #symbol: string | null = null;
  #unfollow: (() => void) | null = null;
  #again: ReturnType<typeof setTimeout> | undefined;
  #askedAt = 0;
  #trouble = "";
  #own: readonly string[] = [];
  /** Books that were given up because of a hole or a wrong checksum. */
  #holes = 0;

  constructor(stream: Stream, picked: (price: string) => void) {
    this.#stream = stream;
    this.#asks = rows("ask", picked);
    this.#bids = rows("bid", picked);
    const levels = h("div", { class: "levels" }, ...this.#asks.toReversed().map(({ element }) => element), this.#spread, ...this.#bids.map(({ element }) => element));
    arrowKeys(levels, "button:not([disabled])");
    const head = h("div", { class: "level level-head muted", "aria-hidden": "true" }, h("span", {}, "Price"), h("span", {}, "Quantity"), h("span", {}, "Total"));
    this.element = h("section", { class: "panel ladder", "aria-label": "Book" }, h("div", { class: "panel-head" }, h("h2", {}, "Book"), this.#state), head, levels);
  }

  follow(symbol: string): void {
    this.leave();
    this.#symbol = symbol;
    this.#depth.clear();
    this.#subscribe();
    paint(this.draw);
  }

  leave(): void {
    clearTimeout(this.#again);
    this.#unfollow?.();
    this.#unfollow = null;
    this.#trouble = "";
  }

  /** Prices at which an own order rests. */
  mark(own: readonly string[]): void {
    this.#own = own;
    paint(this.draw);
  }

  #subscribe(): void {
    this.#askedAt = performance.now();
    this.#unfollow = this.#stream.follow({
      channel: "book",
      exchange: LAB_EXCHANGE,
      products: [this.#symbol!],
      wants: "latest",
      onSnapshot: ({ data }) => this.#began(data as BookSnapshot | null),
      onUpdate: ({ data }) => this.#take(this.#depth.change(data as BookChange)),
      onError: ({ detail }) => this.#fail(detail),
    });
  }

  /** There may be no book yet: then its snapshot comes when there is. */
  #began(snapshot: BookSnapshot | null): void {
    if (snapshot === null) this.#depth.clear();
    this.#take(snapshot === null || this.#depth.snapshot(snapshot));
  }

  #take(right: boolean): void {
    if (right) this.#trouble = "";
    else this.#askAgain();
    paint(this.draw);
  }

  #fail(detail: string): void {
    this.#trouble = detail;
    paint(this.draw);
  }

  /** What is missing is in no update to come: a new subscription begins with the whole book. */
  #askAgain(): void {
    if (this.#unfollow === null) return;
    this.#unfollow();
    this.#unfollow = null;
    this.#holes += 1;
    this.#trouble = "Out of step, asking again";
    const wait_ms = Math.max(0, this.#askedAt + AGAIN_AFTER_MS - performance.now());
    this.#again = setTimeout(() => this.#subscribe(), wait_ms);
  }

  draw = (): void => {
    if (this.#symbol === null) return;
    const asks = this.#depth.asks(LEVELS_SHOWN);
    const bids = this.#depth.bids(LEVELS_SHOWN);
    const deepest = Math.max(asks.at(-1)?.total ?? 0, bids.at(-1)?.total ?? 0, 1);
    this.#show(this.#asks, asks, deepest);
    this.#show(this.#bids, bids, deepest);
    setText(this.#spread, this.#spreadText(bids[0], asks[0]));
    this.#drawState();
  };

  #show(rows: Row[], levels: Level[], deepest: number): void {
    const { tickSize, lotSize } = this.#depth;
    const own = new Set(this.#own.map((price) => stepsOf(price, tickSize)));
    rows.forEach((row, at) => row.show(levels[at], tickSize, lotSize, deepest, own));
  }

  #spreadText(bid: Level | undefined, ask: Level | undefined): string {
    if (!this.#depth.known) return " ";
    if (bid === undefined && ask === undefined) return "The book is empty";
    if (bid === undefined) return "No bids";
    if (ask === undefined) return "No asks";
    return `Spread ${grouped(ofSteps(ask.ticks - bid.ticks, this.#depth.tickSize))}`;
  }

  #drawState(): void {
    const { connection, clockOffsetMs } = this.#stream;
    const stale = connection.kind === "stale";
    setData(this.element, "stale", String(stale));
    setData(this.element, "holes", String(this.#holes));
    if (stale) setText(this.#state, `Stale since ${clock(connection.since + clockOffsetMs)} UTC`);
    else if (this.#trouble !== "") setText(this.#state, this.#trouble);
    else setText(this.#state, this.#depth.known ? "Live" : "Waiting for the book");
  }
}

function rows(side: "ask" | "bid", picked: (price: string) => void): Row[] {
  return Array.from({ length: LEVELS_SHOWN }, (_none, at) => new Row(side, at === 0, picked));
}

/** One level, best first in its side; it keeps its place, so that the ladder does not jump. */
class Row {
  readonly element: HTMLButtonElement;
  readonly #side: "ask" | "bid";
  readonly #price = h("span", { class: "level-price" });
  readonly #quantity = h("span");
  readonly #total = h("span", { class: "muted" });
  #shown = "";

  /** Tab comes to the best of a side, arrow keys to the others. */
  constructor(side: "ask" | "bid", best: boolean, picked: (price: string) => void) {
    this.#side = side;
    this.element = h("button", { type: "button", class: "level number", tabindex: best ? 0 : -1, "data-side": side, disabled: true, onclick: () => picked(this.#shown) }, this.#price, this.#quantity, this.#total);
  }

  show(level: Level | undefined, tickSize: string, lotSize: string, deepest: number, own: ReadonlySet<number | null>): void {
    this.#shown = level === undefined ? "" : ofSteps(level.ticks, tickSize);
    const isOwn = level !== undefined && own.has(level.ticks);
    this.element.disabled = level === undefined;
    setText(this.#price, level === undefined ? " " : `${isOwn ? "• " : ""}${grouped(this.#shown)}`);
    setText(this.#quantity, level === undefined ? "" : grouped(ofSteps(level.lots, lotSize)));
    setText(this.#total, level === undefined ? "" : grouped(ofSteps(level.total, lotSize)));
    const share = level === undefined ? 0 : level.total / deepest;
    this.element.style.setProperty("--share", `${(share * 100).toFixed(1)}%`);
    const label = level === undefined ? "" : `${this.#side === "ask" ? "Ask" : "Bid"} ${this.#shown}, quantity ${this.#quantity.textContent}${isOwn ? ", an own order is there" : ""}: take this price`;
    if (this.element.ariaLabel !== label) this.element.ariaLabel = label;
  }
}

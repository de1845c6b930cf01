/** Every product of every exchange: price, change, range and volume of the day, how old the last trade is, and whether it is live. */

import * as api from "../api.ts";
import { arrowKeys, flash, h, paint, Segmented, setData, setText, svg } from "../dom.ts";
import { age, change, clock, price, quantity, signOf } from "../format.ts";
import { type FeedState, HISTORY_MINUTES, Market, sparkline } from "../market.ts";
import type { Candle, StreamError, Ticker } from "../protocol.ts";
import { chartHash } from "../route.ts";
import type { Stream } from "../stream.ts";
import { every, type View } from "../view.ts";

const STATUS_INTERVAL_MS = 5_000;
const AGE_INTERVAL_MS = 500;
const LINE_INTERVAL_MS = 2_000;
/** Histories fetched when the page opens: each is a request. */
const HISTORIES_MAX = 24;
const SPARK_WIDTH = 112;
const SPARK_HEIGHT = 26;
const ALL = "*";

const STATES: Record<FeedState, { sign: string; label: string }> = {
  live: { sign: "●", label: "live" },
  gap: { sign: "◆", label: "gap" },
  stale: { sign: "○", label: "stale" },
  waiting: { sign: "·", label: "waiting" },
};

export function mount(root: HTMLElement, stream: Stream): View {
  return new MarketsView(root, stream);
}

class MarketsView implements View {
  readonly #stream: Stream;
  readonly #rows = new Map<string, Row>();
  readonly #groups = new Map<string, HTMLTableSectionElement>();
  readonly #table: HTMLTableElement;
  readonly #notice = h("p", { class: "notice", role: "status" });
  readonly #summary = h("p", { class: "summary number" });
  readonly #exchanges: Segmented;
  readonly #search: HTMLInputElement;
  readonly #dirty = new Set<Row>();
  readonly #ends: (() => void)[];
  #exchange = ALL;
  #histories = 0;
  #updatesBefore = 0;

  constructor(root: HTMLElement, stream: Stream) {
    this.#stream = stream;
    this.#exchanges = new Segmented("Exchange", (value) => this.#choose(value));
    this.#exchanges.show([[ALL, "All"]], ALL);
    this.#search = h("input", { type: "search", placeholder: "Find a product", "aria-label": "Find a product", oninput: () => this.#filter() });
    this.#table = h("table", { class: "markets" }, head());
    arrowKeys(this.#table, "a");
    root.append(
      h("div", { class: "toolbar" }, h("h1", {}, "Markets"), this.#exchanges.element, this.#search, this.#summary),
      this.#notice,
      h("div", { class: "panel" }, this.#table),
    );
    setText(this.#notice, "Waiting for the first trade…");
    this.#ends = [
      this.#follow("ticker", (row, data, time) => row.ticker(data as Ticker | null, time)),
      this.#follow("candles:1d", (row, data) => row.days(data as Candle | { candles: Candle[] } | null)),
      stream.onConnection(() => this.#markAll()),
      every(STATUS_INTERVAL_MS, () => this.#askStatus()),
      every(AGE_INTERVAL_MS, () => this.#markAll()),
      every(1_000, () => this.#summarise()),
    ];
  }

  leave(): void {
    for (const end of this.#ends) end();
  }

  #follow(channel: string, take: (row: Row, data: unknown, time: string | null) => void): () => void {
    const taken = (frame: { exchange: string; product: string; data: unknown; time: string | null }): void => {
      const row = this.#row(frame.exchange, frame.product);
      take(row, frame.data, frame.time);
      this.#mark(row);
    };
    return this.#stream.follow({
      channel,
      exchange: ALL,
      products: [ALL],
      wants: "latest",
      onSnapshot: taken,
      onUpdate: taken,
      onError: (frame: StreamError) => setText(this.#notice, `${channel}: ${frame.detail}`),
    });
  }

  #row(exchange: string, product: string): Row {
    const key = `${exchange}\n${product}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = new Row(new Market(exchange, product));
    this.#rows.set(key, row);
    this.#place(row);
    if (this.#histories++ < HISTORIES_MAX) void this.#askHistory(row);
    setText(this.#notice, "");
    return row;
  }

  /** Into its exchange's group, both in the order of the alphabet. */
  #place(row: Row): void {
    const { exchange, product } = row.market;
    let group = this.#groups.get(exchange);
    if (group === undefined) {
      group = h("tbody", {}, groupHead(exchange));
      this.#groups.set(exchange, group);
      const names = [...this.#groups.keys()].sort();
      this.#table.append(...names.map((name) => this.#groups.get(name)!));
      this.#exchanges.show([[ALL, "All"], ...names.map((name) => [name, name] as const)], this.#exchange);
    }
    const after = [...this.#rows.values()].find((each) => each.market.exchange === exchange && each.market.product > product && each.element.isConnected);
    group.insertBefore(row.element, after?.element ?? null);
    this.#filter();
  }

  #choose(exchange: string): void {
    this.#exchange = exchange;
    this.#filter();
  }

  #filter(): void {
    const wanted = this.#search.value.trim().toUpperCase();
    for (const { market, element } of this.#rows.values()) {
      element.hidden = !(this.#exchange === ALL || this.#exchange === market.exchange) || !market.product.toUpperCase().includes(wanted);
    }
    for (const group of this.#groups.values()) group.hidden = !group.querySelector("tr:not(.group):not([hidden])");
  }

  #mark(row: Row): void {
    this.#dirty.add(row);
    paint(this.#draw);
  }

  #markAll(): void {
    for (const row of this.#rows.values()) this.#mark(row);
  }

  #draw = (): void => {
    const now = this.#stream.now();
    const { connection } = this.#stream;
    const since = connection.kind === "stale" ? connection.since + this.#stream.clockOffsetMs : null;
    for (const row of this.#dirty) row.draw(now, connection.kind === "live", since);
    this.#dirty.clear();
  };

  async #askStatus(): Promise<void> {
    try {
      const { feeds } = await api.status();
      for (const feed of feeds) {
        const row = this.#row(feed.exchange, feed.product_id);
        row.market.reported(feed);
        this.#mark(row);
      }
    } catch {
      // The stream tells what is live; gaps are shown again when the status answers.
    }
  }

  async #askHistory(row: Row): Promise<void> {
    const { exchange, product } = row.market;
    try {
      const bars = await api.candles(exchange, product, "1m", HISTORY_MINUTES);
      const newest = Math.max(0, ...row.market.closes.keys());
      for (const bar of bars.reverse()) {
        const time_ms = Date.parse(bar.timestamp);
        if (time_ms !== newest) row.market.closes.set(time_ms, Number(bar.close));
      }
      row.redrawLine();
      this.#mark(row);
    } catch {
      // A row without its little line is a row all the same.
    }
  }

  #summarise(): void {
    const { updates } = this.#stream;
    const rate = updates - this.#updatesBefore;
    this.#updatesBefore = updates;
    setText(this.#summary, `${this.#rows.size} products · ${rate} updates/s`);
  }
}

const DAY = "Of the day in UTC, from its 1d bar: since 00:00, not the last 24 hours";
const COLUMNS: readonly (readonly [name: string, className: string, title?: string])[] = [
  ["Product", "product"],
  ["Price", "price"],
  ["Change", "change", DAY],
  ["Day range", "range", DAY],
  ["Volume", "volume", DAY],
  ["Last hour", "spark", "Closes of the last 60 minutes"],
  ["Last trade", "age"],
  ["Feed", "state", "live · gap: trades are missing · stale: no trade for a minute, or no connection"],
];

function head(): HTMLTableSectionElement {
  const cells = COLUMNS.map(([name, className, title]) => {
    const content = title === undefined ? name : h("abbr", { title }, name);
    return h("th", { class: className, scope: "col" }, content);
  });
  return h("thead", {}, h("tr", {}, ...cells));
}

/** A cell a column, since narrow screens have fewer of them. */
function groupHead(exchange: string): HTMLTableRowElement {
  const empty = COLUMNS.slice(1).map(([_name, className]) => h("td", { class: className }));
  return h("tr", { class: "group" }, h("th", { class: "product", scope: "rowgroup" }, exchange), ...empty);
}

/** One product's row: written in place, never made anew. */
class Row {
  readonly market: Market;
  readonly element: HTMLTableRowElement;
  readonly #price = h("span", { class: "glow" });
  readonly #change = h("td", { class: "change number" });
  readonly #low = h("span");
  readonly #high = h("span");
  readonly #mark = h("i");
  readonly #range = h("div", { class: "day-range" }, this.#low, h("span", { class: "track" }, this.#mark), this.#high);
  readonly #volume = h("td", { class: "volume number" });
  readonly #line = svg("path", { class: "line" });
  readonly #age = h("td", { class: "age number" });
  readonly #state = h("span", { class: "feed" }, h("i", { "aria-hidden": "true" }), h("span"));
  #flash: "up" | "down" | null = null;
  #lineDrawnAt = 0;

  constructor(market: Market) {
    this.market = market;
    const size = { viewBox: `-1 -2 ${SPARK_WIDTH + 2} ${SPARK_HEIGHT + 4}`, width: String(SPARK_WIDTH), height: String(SPARK_HEIGHT), "aria-hidden": "true" };
    this.element = h(
      "tr",
      {},
      h("th", { class: "product", scope: "row" }, h("a", { href: chartHash(market.exchange, market.product) }, market.product)),
      h("td", { class: "price number" }, this.#price),
      this.#change,
      h("td", { class: "range number" }, this.#range),
      this.#volume,
      h("td", { class: "spark" }, svg("svg", size, this.#line)),
      this.#age,
      h("td", { class: "state" }, this.#state),
    );
  }

  ticker(ticker: Ticker | null, time: string | null): void {
    if (ticker === null || time === null) return;
    if (this.market.traded(ticker, Date.parse(time))) this.#flash = this.market.moved;
  }

  /** A snapshot has up to two bars, an update is one. */
  days(data: Candle | { candles: Candle[] } | null): void {
    if (data === null) return;
    for (const candle of "candles" in data ? data.candles : [data]) this.market.daily(candle);
  }

  redrawLine(): void {
    this.#lineDrawnAt = 0;
  }

  draw(now: number, connected: boolean, staleSince: number | null): void {
    const { market } = this;
    setText(this.#price, market.price === null ? "–" : price(market.price, market.places));
    if (market.moved !== null) setData(this.#price, "moved", market.moved);
    if (this.#flash !== null) flash(this.#price, this.#flash);
    this.#flash = null;
    this.#drawDay(now);
    this.#drawAge(now, connected, staleSince);
    this.#drawLine(now);
  }

  #drawDay(now: number): void {
    const { market } = this;
    const ratio = market.change(now);
    setText(this.#change, ratio === null ? "–" : change(ratio));
    setData(this.#change, "sign", ratio === null ? "none" : signOf(ratio));
    const today = market.today(now);
    this.#range.hidden = today === null;
    setText(this.#volume, today === null ? "–" : quantity(Number(today.volume)));
    setText(this.#low, today === null ? "" : price(today.low, market.places));
    setText(this.#high, today === null ? "" : price(today.high, market.places));
    if (today === null || market.price === null) return;
    const range = Number(today.high) - Number(today.low) || 1;
    const at = Math.min(1, Math.max(0, (Number(market.price) - Number(today.low)) / range));
    this.#mark.style.transform = `translateX(${(at * 64).toFixed(1)}px)`;
  }

  #drawAge(now: number, connected: boolean, staleSince: number | null): void {
    const { market } = this;
    const age_ms = market.ageMs(now);
    const state = market.state(now, connected);
    setText(this.#age, age_ms === null ? "–" : age(age_ms));
    setData(this.element, "state", state);
    setText(this.#state.firstElementChild!, STATES[state].sign);
    const gaps = state === "gap" ? `${market.openGaps} open` : "";
    const since = state === "stale" && staleSince !== null ? `since ${clock(staleSince)}` : "";
    setText(this.#state.lastElementChild!, [STATES[state].label, gaps, since].filter(Boolean).join(" "));
  }

  /** Once in a while: a pixel of it is a minute. */
  #drawLine(now: number): void {
    if (now - this.#lineDrawnAt < LINE_INTERVAL_MS) return;
    this.#lineDrawnAt = now;
    const closes = [...this.market.closes].sort(([one], [other]) => one - other).map(([, close]) => close);
    const path = sparkline(closes, SPARK_WIDTH, SPARK_HEIGHT);
    if (this.#line.getAttribute("d") === path) return;
    this.#line.setAttribute("d", path);
    setData(this.#line, "sign", (closes.at(-1) ?? 0) >= (closes[0] ?? 0) ? "up" : "down");
  }
}

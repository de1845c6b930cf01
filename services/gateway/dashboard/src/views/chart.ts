/** One product: candles with their live last bar, volume, lines over them, the latest indicators and the last trades. */

import * as api from "../api.ts";
import { Bars } from "../bars.ts";
import { h, paint, Segmented, setData, setText } from "../dom.ts";
import { age, change, clock, count, minute, placesOf, price, quantity, signOf } from "../format.ts";
import { OVERLAYS, Picture } from "../picture.ts";
import type { Candle, PlacedTrade, Ticker, Trade } from "../protocol.ts";
import { chartHash, type Route } from "../route.ts";
import type { Stream } from "../stream.ts";
import { every, type View } from "../view.ts";

const PAGE_BARS = 400;
const TAPE_ROWS = 24;
const RESOLUTIONS = ["1m", "5m", "15m", "1h", "4h", "1d"];

export function mount(root: HTMLElement, stream: Stream, route: Route): View {
  return new ChartView(root, stream, route);
}

interface Place {
  exchange: string;
  product: string;
  resolution: string;
}

class ChartView implements View {
  readonly #stream: Stream;
  readonly #products = h("select", { "aria-label": "Product", onchange: () => this.#picked() });
  readonly #resolutions = new Segmented("Resolution", (resolution) => this.#go({ ...this.#place!, resolution }));
  readonly #price = h("strong", { class: "last-price number" });
  readonly #change = h("span", { class: "change number" });
  readonly #age = h("span", { class: "muted number" });
  readonly #legend = h("div", { class: "legend number" });
  readonly #notice = h("p", { class: "notice", role: "status" });
  readonly #canvas = h("div", { class: "chart", tabindex: 0, role: "img", "aria-label": "Candles", onkeydown: (event: KeyboardEvent) => this.#key(event) });
  readonly #values = h("dl", { class: "values number" });
  readonly #tape = h("tbody");
  readonly #picture: Picture;
  readonly #overlays = new Set(stored());
  readonly #ends: (() => void)[] = [];
  #flows: (() => void)[] = [];
  #place: Place | null = null;
  #bars = new Bars();
  #trades: (Trade & { time: string })[] = [];
  #latest: Record<string, number> = {};
  #lastTradeMs: number | null = null;
  #lastPrice: string | null = null;
  #loading = false;
  #complete = false;
  /** Whether the newest bars were brought into view: once, for from then on the user moves it. */
  #fitted = false;
  /** The earliest bar that changed since the last frame. */
  #changedFrom: number | null = null;

  constructor(root: HTMLElement, stream: Stream, route: Route) {
    this.#stream = stream;
    this.#resolutions.show(RESOLUTIONS, "1m");
    root.append(this.#toolbar(), this.#notice, this.#body());
    this.#picture = new Picture(this.#canvas, {
      onHover: () => paint(this.#drawLegend),
      onNearStart: () => void this.#loadOlder(),
    });
    const recolor = (): void => this.#recolor();
    addEventListener("themechange", recolor);
    this.#ends.push(
      () => removeEventListener("themechange", recolor),
      () => this.#picture.remove(),
      every(500, () => paint(this.#drawHead)),
    );
    void this.#fillProducts();
    this.moved(route);
  }

  leave(): void {
    for (const end of [...this.#flows, ...this.#ends]) end();
    // What was still to be drawn has no canvas any more.
    this.#place = this.#changedFrom = null;
  }

  moved(route: Route): void {
    if (route.view !== "chart") return;
    const { exchange, product, resolution } = route;
    if (exchange === null || product === null) {
      void this.#goToFirst();
      return;
    }
    this.#open({ exchange, product, resolution });
  }

  #toolbar(): HTMLElement {
    const toggles = Object.entries(OVERLAYS).map(([name, { label, color }]) => {
      const button = h("button", { type: "button", class: "toggle", "aria-pressed": String(this.#overlays.has(name)), onclick: () => this.#toggle(name, button) }, h("i", { "data-color": color, "aria-hidden": "true" }), label);
      return button;
    });
    return h(
      "div",
      { class: "toolbar" },
      h("h1", { class: "visually-hidden" }, "Chart"),
      h("div", { class: "picker" }, this.#products, this.#price, this.#change, this.#age),
      this.#resolutions.element,
      h("div", { class: "toggles", role: "group", "aria-label": "Lines" }, ...toggles),
    );
  }

  #body(): HTMLElement {
    const tape = h(
      "table",
      { class: "tape" },
      h("thead", {}, h("tr", {}, ...["Time", "Price", "Size"].map((name) => h("th", { scope: "col" }, name)))),
      this.#tape,
    );
    const credit = h("a", { class: "credit", href: "https://www.tradingview.com/", rel: "noopener", target: "_blank" }, "Charts by TradingView");
    return h(
      "div",
      { class: "chart-layout" },
      h("section", { class: "panel chart-panel", "aria-label": "Candles" }, this.#legend, this.#canvas, keyOfMarks(), credit),
      h(
        "aside",
        { class: "side" },
        h("section", { class: "panel" }, h("h2", {}, "Indicators"), this.#values),
        h("section", { class: "panel tape-panel" }, h("h2", {}, "Trades"), tape),
      ),
    );
  }

  async #fillProducts(): Promise<void> {
    try {
      const { products } = await api.markets();
      const options = products.map(({ exchange, product_id }) => h("option", { value: chartHash(exchange, product_id) }, `${exchange} · ${product_id}`));
      this.#products.replaceChildren(...options);
      this.#showProduct();
    } catch (error) {
      setText(this.#notice, `The markets cannot be listed: ${(error as Error).message}`);
    }
  }

  async #goToFirst(): Promise<void> {
    try {
      const { products } = await api.markets();
      const newest = products.toSorted((one, other) => (other.last_trade_time ?? "").localeCompare(one.last_trade_time ?? ""))[0];
      if (newest === undefined) setText(this.#notice, "There is no product yet. Feeds publish theirs when the first trade arrives.");
      else location.replace(chartHash(newest.exchange, newest.product_id));
    } catch (error) {
      setText(this.#notice, `The markets cannot be listed: ${(error as Error).message}`);
    }
  }

  #picked(): void {
    const route = new URL(this.#products.value, location.href).hash.split("/").map(decodeURIComponent);
    this.#go({ exchange: route[2]!, product: route[3]!, resolution: this.#place?.resolution ?? "1m" });
  }

  #go({ exchange, product, resolution }: Place): void {
    location.hash = chartHash(exchange, product, resolution);
  }

  /** Its own product may not be listed yet. */
  #showProduct(): void {
    if (this.#place === null) return;
    const { exchange, product } = this.#place;
    const value = chartHash(exchange, product);
    if (![...this.#products.options].some((each) => each.value === value)) this.#products.append(h("option", { value }, `${exchange} · ${product}`));
    this.#products.value = value;
  }

  #open(place: Place): void {
    for (const end of this.#flows) end();
    const moved = this.#place?.exchange !== place.exchange || this.#place.product !== place.product;
    this.#place = place;
    this.#bars = new Bars();
    this.#changedFrom = null;
    this.#complete = this.#fitted = false;
    this.#picture.clear();
    if (moved) this.#forget();
    this.#resolutions.show(RESOLUTIONS, place.resolution);
    this.#showProduct();
    setText(this.#notice, "");
    this.#flows = this.#follow(place);
  }

  #forget(): void {
    this.#trades = [];
    this.#latest = {};
    this.#lastTradeMs = this.#lastPrice = null;
    this.#values.replaceChildren();
    this.#tape.replaceChildren();
  }

  #follow({ exchange, product, resolution }: Place): (() => void)[] {
    const follow = (channel: string, wants: "every" | "latest", take: (data: unknown, time: string | null, isSnapshot: boolean) => void): (() => void) =>
      this.#stream.follow({
        channel,
        exchange,
        products: [product],
        wants,
        onSnapshot: ({ data, time }) => take(data, time, true),
        onUpdate: ({ data, time }) => take(data, time, false),
        onError: ({ detail }) => setText(this.#notice, `${channel}: ${detail}`),
      });
    return [
      follow(`candles:${resolution}`, "every", (data, _time, isSnapshot) => this.#candles(data, isSnapshot)),
      follow("ticker", "latest", (data, time) => this.#ticker(data as Ticker | null, time)),
      follow("trades", "every", (data, time, isSnapshot) => this.#traded(data, time, isSnapshot)),
      follow("indicators", "latest", (data) => this.#indicators(data as { values: Record<string, number> } | null)),
    ];
  }

  /** A snapshot may come after bars that were missed: the newest history is fetched again. */
  #candles(data: unknown, isSnapshot: boolean): void {
    if (isSnapshot) void this.#load();
    const candles = isSnapshot ? ((data as { candles: Candle[] } | null)?.candles ?? []) : [data as Candle];
    this.#merge(candles);
  }

  #merge(candles: Candle[]): void {
    const from = this.#bars.merge(candles);
    if (from === null) return;
    this.#changedFrom = Math.min(this.#changedFrom ?? from, from);
    paint(this.#drawBars);
  }

  #ticker(ticker: Ticker | null, time: string | null): void {
    if (ticker === null || time === null) return;
    this.#lastTradeMs = Date.parse(time);
    if (this.#lastPrice !== null && ticker.price !== this.#lastPrice) setData(this.#price, "moved", Number(ticker.price) > Number(this.#lastPrice) ? "up" : "down");
    this.#lastPrice = ticker.price;
    paint(this.#drawHead);
  }

  #traded(data: unknown, time: string | null, isSnapshot: boolean): void {
    if (isSnapshot) this.#trades = ((data as { trades: PlacedTrade[] } | null)?.trades ?? []).toReversed();
    else this.#trades.unshift({ ...(data as Trade), time: time! });
    this.#trades.length = Math.min(this.#trades.length, TAPE_ROWS);
    paint(this.#drawTape);
  }

  #indicators(data: { values: Record<string, number> } | null): void {
    if (data === null) return;
    Object.assign(this.#latest, data.values);
    paint(this.#drawValues);
  }

  async #load(): Promise<void> {
    await this.#fetch(undefined);
    if (this.#place === null || this.#fitted) return;
    this.#drawBars();
    this.#picture.fit();
    this.#fitted = true;
  }

  async #loadOlder(): Promise<void> {
    const oldest = this.#bars.all[0];
    if (oldest !== undefined && !this.#complete) await this.#fetch(oldest.candle.timestamp);
  }

  /** One page of history into the place that is shown, unless it was left meanwhile. */
  async #fetch(end: string | undefined): Promise<void> {
    if (this.#loading && end !== undefined) return;
    const place = this.#place!;
    this.#loading = true;
    try {
      const page = await api.candles(place.exchange, place.product, place.resolution, PAGE_BARS, end);
      if (place !== this.#place) return;
      if (end !== undefined && page.length === 0) this.#complete = true;
      this.#merge(page);
    } catch (error) {
      if (place === this.#place) setText(this.#notice, `The history cannot be read: ${(error as Error).message}`);
    } finally {
      this.#loading = false;
      paint(this.#drawLegend);
    }
  }

  #drawBars = (): void => {
    if (this.#changedFrom !== null) this.#picture.show(this.#bars.all, this.#changedFrom, this.#overlays);
    this.#changedFrom = null;
    this.#drawLegend();
  };

  #drawLegend = (): void => {
    const hovered = this.#picture.hovered;
    const candle = hovered === null ? this.#bars.all.at(-1)?.candle : this.#bars.at(hovered);
    if (candle === undefined) {
      setText(this.#legend, this.#loading ? "Loading…" : "No bar yet");
      return;
    }
    this.#legend.replaceChildren(...legend(candle));
  };

  #drawHead = (): void => {
    if (this.#place === null || this.#lastPrice === null) return;
    const places = this.#picture.places;
    setText(this.#price, price(this.#lastPrice, places));
    const last = this.#bars.all.at(-1)?.candle;
    const ratio = last === undefined ? 0 : Number(this.#lastPrice) / Number(last.open) - 1;
    setText(this.#change, change(ratio));
    this.#change.title = "Since the open of the bar in progress";
    setData(this.#change, "sign", signOf(ratio));
    setText(this.#age, this.#ageText());
    const { exchange, product, resolution } = this.#place;
    this.#canvas.setAttribute("aria-label", `${resolution} candles of ${product} on ${exchange}, last price ${this.#lastPrice}`);
  };

  #ageText(): string {
    const { connection } = this.#stream;
    if (connection.kind === "stale") return `stale since ${clock(connection.since + this.#stream.clockOffsetMs)}`;
    return this.#lastTradeMs === null ? "" : `${age(this.#stream.now() - this.#lastTradeMs)} ago`;
  }

  #drawTape = (): void => {
    while (this.#tape.rows.length < this.#trades.length) this.#tape.append(h("tr", {}, h("td"), h("td", { class: "number" }), h("td", { class: "number" })));
    const places = this.#picture.places;
    this.#trades.forEach((trade, at) => {
      const row = this.#tape.rows[at]!;
      setData(row, "side", trade.side);
      setText(row.cells[0]!, clock(Date.parse(trade.time)));
      setText(row.cells[1]!, `${trade.side === "BUY" ? "▲" : "▼"} ${price(trade.price, places)}`);
      setText(row.cells[2]!, quantity(Number(trade.size)));
    });
  };

  #drawValues = (): void => {
    const names = Object.keys(this.#latest).sort();
    if (this.#values.children.length !== names.length * 2) {
      this.#values.replaceChildren(...names.flatMap((name) => [h("dt", {}, name.replace("_", " ").toUpperCase().replace("@", " @ ").replace(/@ (\S+)/, (_all, resolution: string) => `@ ${resolution.toLowerCase()}`)), h("dd")]));
    }
    names.forEach((name, at) => setText(this.#values.children[at * 2 + 1]!, this.#latest[name]!.toLocaleString("en-US", { maximumFractionDigits: 2, minimumFractionDigits: 2 })));
  };

  #toggle(name: string, button: HTMLButtonElement): void {
    if (!this.#overlays.delete(name)) this.#overlays.add(name);
    button.setAttribute("aria-pressed", String(this.#overlays.has(name)));
    store(this.#overlays);
    this.#picture.showAll(this.#bars.all, this.#overlays);
  }

  #recolor(): void {
    this.#picture.recolor();
    this.#picture.showAll(this.#bars.all, this.#overlays);
  }

  #key(event: KeyboardEvent): void {
    const action = { ArrowLeft: () => this.#picture.scroll(-10), ArrowRight: () => this.#picture.scroll(10), "+": () => this.#picture.zoom(0.8), "-": () => this.#picture.zoom(1.25), End: () => this.#picture.fit() }[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }
}

function keyOfMarks(): HTMLElement {
  return h(
    "p",
    { class: "marks muted" },
    h("span", {}, h("i", { class: "mark-incomplete", "aria-hidden": "true" }), "closed with trades missing, or the first bar"),
    h("span", {}, h("i", { class: "mark-revised", "aria-hidden": "true" }), "revised after its close"),
    h("span", {}, "keys: ← → move, + − zoom, End newest"),
  );
}

function legend(candle: Candle): Node[] {
  const places = Math.max(...[candle.open, candle.high, candle.low, candle.close].map(placesOf));
  const up = Number(candle.close) >= Number(candle.open);
  const field = (name: string, text: string): HTMLElement => h("span", { "data-sign": up ? "up" : "down" }, h("b", {}, name), text);
  const state = candle.closed ? `closed · ${candle.complete ? "complete" : "incomplete"}` : "open";
  return [
    h("span", { class: "when" }, `${minute(Date.parse(candle.timestamp))} UTC`),
    field("O", price(candle.open, places)),
    field("H", price(candle.high, places)),
    field("L", price(candle.low, places)),
    field("C", price(candle.close, places)),
    h("span", {}, h("b", {}, "Vol"), quantity(Number(candle.volume))),
    h("span", {}, h("b", {}, "Trades"), count(candle.trade_count)),
    h("span", { class: "badge", "data-complete": String(candle.complete || !candle.closed) }, `${state}${candle.revision > 1 ? ` · revision ${candle.revision}` : ""}`),
  ];
}

const OVERLAYS_KEY = "overlays";

function stored(): string[] {
  try {
    return (localStorage.getItem(OVERLAYS_KEY) ?? "sma").split(",").filter((name) => name in OVERLAYS);
  } catch {
    return ["sma"];
  }
}

function store(overlays: Set<string>): void {
  try {
    localStorage.setItem(OVERLAYS_KEY, [...overlays].join(","));
  } catch {
    // A browser that stores nothing begins with the default again.
  }
}

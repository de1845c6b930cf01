/** How the system is: feeds, gaps, lag and dependencies from `/v1/status`; latency as this page sees it. */

import * as api from "../api.ts";
import { arrowKeys, h, paint, setData, setText } from "../dom.ts";
import { byGroup, Sample } from "../figures.ts";
import { age, count, duration, minute } from "../format.ts";
import type { Stream } from "../stream.ts";
import { every, type View } from "../view.ts";

const STATUS_INTERVAL_MS = 3_000;
const GAPS_INTERVAL_MS = 15_000;
const GAPS_SHOWN_MAX = 20;
const LATENCIES_MAX = 2_000;
/** A consumer this many records behind is behind. */
const LAG_WARNING = 5_000;
const FEED_SILENCE_WARNING_MS = 60_000;

export function mount(root: HTMLElement, stream: Stream): View {
  return new OperationsView(root, stream);
}

type Cell = string | { text: string; number?: boolean; state?: "good" | "warn" | "bad"; title?: string };

class OperationsView implements View {
  readonly #stream: Stream;
  readonly #notice = h("p", { class: "notice", role: "status" });
  readonly #asked = h("p", { class: "summary number" });
  readonly #ready = new Tile("System", "Whether everything that the interface needs is up");
  readonly #latency = new Tile("Event to page", "From the exchange's time of a trade to its arrival here, p50 and p99 of the last 2,000; it has the exchange's clock in it");
  readonly #roundTrip = new Tile("Round trip", "From this page to the gateway and back");
  readonly #rate = new Tile("Updates", "Delivered to this page; filled holes are those that its own check of sequences found");
  readonly #lagTile = new Tile("Lag", "Records not yet stored, of all groups");
  readonly #gapTile = new Tile("Open gaps", "Runs of trades that are missing and not given up");
  readonly #feeds = new Table("Feeds", ["Exchange", "Product", "Venue", "Last trade", "Last message", "Contiguous to", "Gaps"]);
  readonly #lag = new Table("Lag of the consumers", ["Group", "Topic", "Partitions", "Behind", "Worst"]);
  readonly #dependencies = new Table("Dependencies", ["Name", "State", "Since", "Detail"]);
  readonly #gapCounts = new Table("Gaps", ["Status", "Gaps", "Trades missing"]);
  readonly #gaps = new Table("Newest gaps", ["Opened", "Product", "Trades", "Status", "Reason"]);
  readonly #latencies = new Sample(LATENCIES_MAX);
  readonly #ends: (() => void)[];
  #status: api.Status | null = null;
  #askedAt: number | null = null;
  #updatesBefore: number;

  constructor(root: HTMLElement, stream: Stream) {
    this.#stream = stream;
    this.#updatesBefore = stream.updates;
    const tiles = [this.#ready, this.#latency, this.#roundTrip, this.#rate, this.#lagTile, this.#gapTile];
    root.append(
      h("div", { class: "toolbar" }, h("h1", {}, "Operations"), this.#asked),
      this.#notice,
      h("div", { class: "tiles" }, ...tiles.map(({ element }) => element)),
      this.#feeds.element,
      h("div", { class: "columns" }, this.#lag.element, this.#dependencies.element),
      h("div", { class: "columns" }, this.#gaps.element, this.#gapCounts.element),
    );
    this.#ends = [
      every(STATUS_INTERVAL_MS, () => this.#askStatus()),
      every(GAPS_INTERVAL_MS, () => this.#askGaps()),
      every(1_000, () => this.#measure()),
      this.#followTrades(),
    ];
  }

  leave(): void {
    for (const end of this.#ends) end();
  }

  #followTrades(): () => void {
    return this.#stream.follow({
      channel: "ticker",
      exchange: "*",
      products: ["*"],
      wants: "latest",
      onSnapshot: () => {},
      onUpdate: ({ time }) => this.#latencies.add(Math.max(0, this.#stream.now() - Date.parse(time))),
      onError: ({ detail }) => setText(this.#notice, `ticker: ${detail}`),
    });
  }

  async #askStatus(): Promise<void> {
    try {
      this.#status = await api.status();
      this.#askedAt = Date.now();
      setText(this.#notice, "");
    } catch (error) {
      setText(this.#notice, `The status cannot be read: ${(error as Error).message}`);
    }
    paint(this.#draw);
  }

  async #askGaps(): Promise<void> {
    try {
      const gaps = await api.gaps(GAPS_SHOWN_MAX);
      paint(() => this.#gaps.show(gaps.map(gapRow), "No gap so far"));
    } catch {
      // The status is asked at the same place, and says what is wrong.
    }
  }

  #draw = (): void => {
    const status = this.#status;
    if (status === null) return;
    const now = this.#stream.now();
    const groups = byGroup(status.lag);
    const lag = groups.reduce((sum, each) => sum + each.lag, 0);
    const open = status.gaps.find((each) => each.status === "open");
    this.#ready.show(status.ready ? "✓ Ready" : "✕ Not ready", Object.entries(status.dependencies).map(([name, { up }]) => `${name} ${up ? "up" : "down"}`).join(" · "), status.ready ? "good" : "bad");
    this.#lagTile.show(count(lag), `${groups.length} groups`, lag > LAG_WARNING ? "warn" : "good");
    this.#gapTile.show(count(open?.gaps ?? 0), `${count(open?.missing ?? 0)} trades missing`, (open?.gaps ?? 0) > 0 ? "warn" : "good");
    this.#feeds.show(status.feeds.map((feed) => feedRow(feed, now)), "No feed has published yet");
    this.#lag.show(groups.map(lagRow), "No consumer has stored yet");
    this.#dependencies.show(Object.entries(status.dependencies).map(([name, each]) => dependencyRow(name, each)), "None");
    this.#gapCounts.show(status.gaps.map((each) => [each.status, number(count(each.gaps)), number(count(each.missing))]), "No gap so far");
  };

  #measure(): void {
    const { updates, roundTripMs, connection, holesFound } = this.#stream;
    const [p50, p99] = [this.#latencies.percentile(0.5), this.#latencies.percentile(0.99)];
    const rate = updates - this.#updatesBefore;
    this.#updatesBefore = updates;
    const live = connection.kind === "live";
    paint(() => {
      this.#latency.show(p50 === null ? "–" : duration(p50), p99 === null ? "no trade yet" : `p99 ${duration(p99)}, ${count(this.#latencies.count)} trades`, live ? "good" : "bad");
      this.#roundTrip.show(roundTripMs === null ? "–" : duration(roundTripMs), live ? "WebSocket ping" : "not connected", live ? "good" : "bad");
      this.#rate.show(`${count(rate)}/s`, `${count(updates)} in all · ${count(holesFound)} holes filled`, live ? "good" : "bad");
      setText(this.#asked, this.#askedAt === null ? "" : `status ${age(Date.now() - this.#askedAt)} old`);
    });
  }
}

function feedRow(feed: api.Feed, now: number): Cell[] {
  const silence_ms = feed.last_message_time === null ? Infinity : now - Date.parse(feed.last_message_time);
  return [
    feed.exchange,
    feed.product_id,
    feed.venue,
    number(since(feed.last_trade_time, now)),
    { ...number(since(feed.last_message_time, now)), state: silence_ms > FEED_SILENCE_WARNING_MS ? "warn" : "good" },
    number(feed.contiguous_number === null ? "–" : String(feed.contiguous_number)),
    { ...number(feed.open_gaps === 0 ? "0" : `◆ ${feed.open_gaps}`), state: feed.open_gaps > 0 ? "warn" : "good" },
  ];
}

function lagRow({ group, topic, partitions, lag, unknown, worst }: ReturnType<typeof byGroup>[number]): Cell[] {
  const known = unknown > 0 ? `${count(lag)}, ${unknown} partitions not known` : count(lag);
  const behind = unknown === partitions ? "not known" : known;
  return [group, topic, number(String(partitions)), { ...number(lag > LAG_WARNING ? `▲ ${behind}` : behind), state: lag > LAG_WARNING ? "warn" : "good" }, number(count(worst))];
}

function dependencyRow(name: string, { up, since: changed, detail }: api.Status["dependencies"][string]): Cell[] {
  return [name, { text: up ? "✓ up" : "✕ down", state: up ? "good" : "bad" }, number(minute(Date.parse(changed))), detail || "–"];
}

function gapRow(gap: api.Gap): Cell[] {
  const trades = gap.first === gap.last ? String(gap.first) : `${gap.first} … ${gap.last}`;
  return [number(minute(Date.parse(gap.opened_time))), `${gap.exchange} · ${gap.product_id}`, number(trades), { text: gap.status, state: gap.status === "open" ? "warn" : gap.status === "lost" ? "bad" : "good" }, gap.reason || "–"];
}

function number(text: string): { text: string; number: true } {
  return { text, number: true };
}

function since(time: string | null, now: number): string {
  return time === null ? "–" : `${age(now - Date.parse(time))} ago`;
}

/** One figure, with what it is made of below it. */
class Tile {
  readonly element: HTMLElement;
  readonly #value = h("strong", { class: "number" }, "–");
  readonly #detail = h("span", { class: "muted number" });

  constructor(name: string, title: string) {
    this.element = h("div", { class: "tile", title }, h("h2", {}, name), this.#value, this.#detail);
  }

  show(value: string, detail: string, state: "good" | "warn" | "bad"): void {
    setText(this.#value, value);
    setText(this.#detail, detail);
    setData(this.element, "state", state);
  }
}

/** A table whose cells are written in place. */
class Table {
  readonly element: HTMLElement;
  readonly #body = h("tbody");
  readonly #empty = h("p", { class: "muted empty" });
  readonly #columns: readonly string[];

  constructor(name: string, columns: readonly string[]) {
    this.#columns = columns;
    const head = h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col" }, column))));
    const table = h("table", { class: "figures", "aria-label": name }, head, this.#body);
    arrowKeys(table, "tr[tabindex]");
    this.element = h("section", { class: "panel figures-panel" }, h("h2", {}, name), table, this.#empty);
  }

  show(rows: Cell[][], whenEmpty: string): void {
    setText(this.#empty, rows.length === 0 ? whenEmpty : "");
    while (this.#body.rows.length > rows.length) this.#body.deleteRow(-1);
    while (this.#body.rows.length < rows.length) this.#body.append(this.#row(this.#body.rows.length === 0));
    rows.forEach((row, at) => row.forEach((cell, column) => show(this.#body.rows[at]!.cells[column]!, cell)));
  }

  #row(first: boolean): HTMLTableRowElement {
    return h("tr", { tabindex: first ? 0 : -1 }, ...this.#columns.map((column) => h("td", { "data-label": column })));
  }
}

function show(element: HTMLTableCellElement, cell: Cell): void {
  const { text, number: isNumber, state } = typeof cell === "string" ? { text: cell } as Exclude<Cell, string> : cell;
  setText(element, text);
  element.classList.toggle("number", isNumber === true);
  setData(element, "state", state ?? "");
}

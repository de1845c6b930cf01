/** The last executions of one symbol, newest first, and the last price. */

import { placesOf, clock, price as grouped } from "../../format.ts";
import { h, paint, setData, setText } from "../../dom.ts";
import type { Rules } from "../../lab.ts";
import { LAB_EXCHANGE, type PlacedExecution, type PublicExecution } from "../../protocol.ts";
import type { Stream } from "../../stream.ts";

const ROWS = 10;

export class Tape {
  readonly element: HTMLElement;
  readonly #stream: Stream;
  readonly #executed: () => void;
  readonly #body = h("tbody");
  readonly #empty = h("p", { class: "muted empty" });
  #executions: PlacedExecution[] = [];
  #rules: Rules | null = null;
  #unfollow: (() => void) | null = null;
  #trouble = "";

  constructor(stream: Stream, executed: () => void) {
    this.#stream = stream;
    this.#executed = executed;
    const head = h("thead", {}, h("tr", {}, ...["Time", "Price", "Quantity"].map((name) => h("th", { scope: "col" }, name))));
    const table = h("table", { class: "tape", "aria-label": "Executions" }, head, this.#body);
    this.element = h("section", { class: "panel" }, h("h2", {}, "Executions"), table, this.#empty);
  }

  /** The last trade's price; null before the first. */
  get last(): string | null {
    return this.#executions[0]?.price ?? null;
  }

  follow(rules: Rules): void {
    this.leave();
    this.#rules = rules;
    this.#executions = [];
    this.#trouble = "";
    this.#unfollow = this.#stream.follow({
      channel: "executions",
      exchange: LAB_EXCHANGE,
      products: [rules.symbol],
      wants: "every",
      onSnapshot: ({ data }) => this.#take(((data as { executions: PlacedExecution[] } | null)?.executions ?? []).toReversed()),
      onUpdate: ({ data, time }) => this.#add({ ...(data as PublicExecution), time }),
      onError: ({ detail }) => {
        this.#trouble = detail;
        paint(this.draw);
      },
    });
    paint(this.draw);
  }

  leave(): void {
    this.#unfollow?.();
    this.#unfollow = null;
  }

  #take(executions: PlacedExecution[]): void {
    this.#executions = executions.slice(0, ROWS);
    this.#executed();
    paint(this.draw);
  }

  #add(execution: PlacedExecution): void {
    this.#take([execution, ...this.#executions]);
  }

  draw = (): void => {
    if (this.#rules === null) return;
    const [pricePlaces, quantityPlaces] = [placesOf(this.#rules.tick_size), placesOf(this.#rules.lot_size)];
    while (this.#body.rows.length > this.#executions.length) this.#body.deleteRow(-1);
    while (this.#body.rows.length < this.#executions.length) this.#body.append(h("tr", {}, h("td"), h("td", { class: "number" }), h("td", { class: "number" })));
    this.#executions.forEach(({ taker_side, price, quantity, time }, at) => {
      const row = this.#body.rows[at]!;
      setData(row, "side", taker_side.toUpperCase());
      setText(row.cells[0]!, clock(Date.parse(time)));
      setText(row.cells[1]!, `${taker_side === "buy" ? "▲" : "▼"} ${grouped(price, pricePlaces)}`);
      setText(row.cells[2]!, grouped(quantity, quantityPlaces));
    });
    setText(this.#empty, this.#trouble || (this.#executions.length === 0 ? "Nothing was traded yet" : ""));
  };
}

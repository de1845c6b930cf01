/** The account's own orders, open or recent: choose one to see its timeline, cancel one that is open. */

import { arrowKeys, h, Segmented, setData, setText } from "../../dom.ts";
import { clock, exact, price as grouped } from "../../format.ts";
import type { Order } from "../../lab.ts";
import { isOpen, reasonText, SIGNS, STATES, TYPES } from "../../lifecycle.ts";

const COLUMNS = ["Received", "Symbol", "Side", "Type", "Price", "Filled", "State", ""];

export interface OwnEvents {
  chosen(id: string): void;
  cancel(order: Order): void;
  /** Digits after the point of a symbol's prices. */
  pricePlaces(symbol: string): number;
}

type Shown = "open" | "recent";

export class OwnOrders {
  readonly element: HTMLElement;
  readonly #events: OwnEvents;
  readonly #choice = new Segmented("Which orders", (shown) => this.#choose(shown as Shown));
  readonly #body = h("tbody");
  readonly #empty = h("p", { class: "muted empty" });
  readonly #rows = new Map<string, OrderRow>();
  #orders: Record<Shown, readonly Order[]> = { open: [], recent: [] };
  #shown: Shown = "open";
  #known = false;
  #selected: string | null = null;

  constructor(events: OwnEvents) {
    this.#events = events;
    const head = h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, name))));
    const table = h("table", { class: "figures own", "aria-label": "Own orders" }, head, this.#body);
    arrowKeys(table, "button.order-link");
    this.element = h("section", { class: "panel own-panel", "aria-label": "Own orders" }, h("div", { class: "panel-head" }, h("h2", {}, "Own orders"), this.#choice.element), table, this.#empty);
    this.#draw();
  }

  show(open: readonly Order[], recent: readonly Order[]): void {
    this.#orders = { open, recent };
    this.#known = true;
    this.#draw();
  }

  /** Another account's. */
  clear(): void {
    this.#orders = { open: [], recent: [] };
    this.#known = false;
    this.#selected = null;
    this.#draw();
  }

  select(id: string | null): void {
    this.#selected = id;
    this.#draw();
  }

  get open(): readonly Order[] {
    return this.#orders.open;
  }

  #choose(shown: Shown): void {
    this.#shown = shown;
    this.#draw();
  }

  #draw(): void {
    const { open } = this.#orders;
    this.#choice.show([["open", `Open ${open.length}`], ["recent", "Recent"]], this.#shown);
    const orders = this.#orders[this.#shown];
    setText(this.#empty, orders.length > 0 ? "" : this.#known ? (this.#shown === "open" ? "No open order" : "No order that is over") : "Not known yet");
    this.#drop(new Set(orders.map(keyOf)));
    orders.forEach((order, at) => this.#place(order, at));
  }

  #drop(kept: ReadonlySet<string>): void {
    for (const [key, row] of this.#rows) {
      if (kept.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
  }

  /** Rows keep their elements, so that neither the focus nor a click is lost when the list moves. */
  #place(order: Order, at: number): void {
    const key = keyOf(order);
    const row = this.#rows.get(key) ?? new OrderRow(this.#events);
    this.#rows.set(key, row);
    row.show(order, order.id === this.#selected);
    if (this.#body.rows[at] !== row.element) this.#body.insertBefore(row.element, this.#body.rows[at] ?? null);
  }
}

/** An id may come again after a day. */
function keyOf({ id, received_time }: Order): string {
  return `${id}\n${received_time}`;
}

class OrderRow {
  readonly element: HTMLTableRowElement;
  readonly #cells: HTMLTableCellElement[];
  readonly #link: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #events: OwnEvents;
  #order: Order | null = null;

  constructor(events: OwnEvents) {
    this.#events = events;
    this.#link = h("button", { type: "button", class: "order-link number", onclick: () => events.chosen(this.#order!.id) });
    this.#cancel = h("button", { type: "button", class: "toggle", onclick: () => events.cancel(this.#order!) }, "Cancel");
    this.#cells = COLUMNS.map((name) => h("td", { "data-label": name }));
    this.#cells[0]!.append(this.#link);
    this.#cells.at(-1)!.append(this.#cancel);
    this.element = h("tr", {}, ...this.#cells);
  }

  show(order: Order, selected: boolean): void {
    this.#order = order;
    const at = priceText(order, this.#events.pricePlaces(order.symbol));
    const [, symbol, side, type, price, filled, state] = this.#cells;
    setText(this.#link, clock(Date.parse(order.received_time)));
    this.#link.setAttribute("aria-label", `Timeline of the order of ${clock(Date.parse(order.received_time))}: ${order.side} ${order.quantity} ${order.symbol}`);
    this.#link.setAttribute("aria-pressed", String(selected));
    setText(symbol!, order.symbol);
    setText(side!, order.side === "buy" ? "▲ Buy" : "▼ Sell");
    setData(side!, "sign", order.side === "buy" ? "up" : "down");
    setText(type!, `${TYPES[order.type]} ${order.time_in_force}${order.post_only ? " post-only" : ""}`);
    setText(price!, at);
    setText(filled!, `${exact(order.filled)} of ${exact(order.quantity)}`);
    const why = reasonText(order.reason);
    setText(state!, `${SIGNS[order.state]} ${STATES[order.state]}${why === "" ? "" : `: ${why}`}`);
    this.#cancel.hidden = !isOpen(order);
    this.#cancel.setAttribute("aria-label", `Cancel ${order.side} ${order.quantity} ${order.symbol} at ${at}`);
    setData(this.element, "state", order.state);
    setData(this.element, "selected", String(selected));
  }
}

function priceText({ price, stop_price }: Order, places: number): string {
  const limit = price === null ? "market" : grouped(price, places);
  return stop_price === null ? limit : `${limit}, stop ${grouped(stop_price, places)}`;
}

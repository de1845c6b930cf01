/** The order lab: place orders, see the book and the executions live, and follow each order's life. */

import { Refused, Unanswered } from "../api.ts";
import { h, paint, setText } from "../dom.ts";
import { clock, exact, placesOf, price as grouped } from "../format.ts";
import { Lab, type Order, type OrderHistory, type Rules, storedKey, storeKey } from "../lab.ts";
import { isOpen, reasonText, rests, sentence, STATES } from "../lifecycle.ts";
import { ordersHash, type Route } from "../route.ts";
import type { Stream } from "../stream.ts";
import { every, type View } from "../view.ts";
import { AccountPanel } from "./orders/account.ts";
import { confirmed } from "./orders/confirm.ts";
import { LadderPanel } from "./orders/ladder.ts";
import { OwnOrders } from "./orders/own.ts";
import { Tape } from "./orders/tape.ts";
import { Ticket } from "./orders/ticket.ts";
import { Timeline } from "./orders/timeline.ts";

const REFRESH_INTERVAL_MS = 4_000;
const SYMBOLS_INTERVAL_MS = 5_000;
/** Executions come in bursts; what they changed is asked for once. */
const REFRESH_PAUSE_MS = 500;
const OUTCOME_POLL_MS = 250;
const OUTCOME_POLLS_MAX = 40;
const UNAUTHORIZED = 401;
const OPEN_MAX = 200;
const RECENT_MAX = 20;

export function mount(root: HTMLElement, stream: Stream, route: Route): View {
  return new OrdersView(root, stream, route);
}

class OrdersView implements View {
  readonly #stream: Stream;
  readonly #symbols = h("select", { "aria-label": "Symbol", onchange: () => (location.hash = ordersHash(this.#symbols.value)) });
  readonly #last = h("strong", { class: "last-price number" });
  readonly #facts = h("span", { class: "muted number" });
  readonly #notice = h("p", { class: "notice", role: "status" });
  readonly #ticket: Ticket;
  readonly #ladder: LadderPanel;
  readonly #tape: Tape;
  readonly #own: OwnOrders;
  readonly #timeline = new Timeline();
  readonly #account: AccountPanel;
  readonly #ends: (() => void)[];
  #key = storedKey();
  #lab = new Lab(this.#key);
  #rules: Rules[] = [];
  #symbol: string | null = null;
  #followed: Rules | null = null;
  #selected: string | null = null;
  #symbolTrouble = "";
  #accountTrouble = "";
  #refreshing = false;
  #due = false;
  #left = false;

  constructor(root: HTMLElement, stream: Stream, route: Route) {
    this.#stream = stream;
    this.#ticket = new Ticket({ lab: () => this.#lab, last: () => (stream.connection.kind === "live" ? this.#tape.last : null), now: () => stream.now(), received: (id) => void this.#followOutcome(id, ({ state }) => state !== "received") });
    this.#ladder = new LadderPanel(stream, (price) => this.#ticket.takePrice(price));
    this.#tape = new Tape(stream, () => this.#executed());
    this.#own = new OwnOrders({
      chosen: (id) => void this.#choose(id),
      cancel: (order) => void this.#cancel(order),
      pricePlaces: (name) => placesOf(this.#rules.find(({ symbol }) => symbol === name)?.tick_size ?? "0"),
    });
    this.#account = new AccountPanel((key) => this.#actAs(key), () => stream.now());
    root.append(this.#toolbar(), this.#notice, this.#body());
    const shown = (): void => void this.#refresh();
    document.addEventListener("visibilitychange", shown);
    this.#ends = [
      () => document.removeEventListener("visibilitychange", shown),
      every(SYMBOLS_INTERVAL_MS, () => this.#loadSymbols()),
      every(REFRESH_INTERVAL_MS, () => this.#refresh()),
      every(500, () => paint(this.#draw)),
      stream.onConnection(() => paint(this.#draw)),
    ];
    this.moved(route);
  }

  moved(route: Route): void {
    if (route.view !== "orders") return;
    this.#symbol = route.symbol;
    this.#follow();
  }

  leave(): void {
    this.#left = true;
    this.#ladder.leave();
    this.#tape.leave();
    for (const end of this.#ends) end();
  }

  #toolbar(): HTMLElement {
    return h("div", { class: "toolbar" }, h("h1", {}, "Orders"), h("div", { class: "picker" }, this.#symbols, this.#last, this.#facts));
  }

  #body(): HTMLElement {
    return h(
      "div",
      { class: "orders-layout" },
      this.#ticket.element,
      this.#ladder.element,
      this.#own.element,
      h("div", { class: "side" }, this.#tape.element, this.#timeline.element, this.#account.element),
    );
  }

  async #loadSymbols(): Promise<void> {
    if (document.hidden && this.#rules.length > 0) return;
    const lab = this.#lab;
    try {
      const rules = await lab.symbols();
      if (lab !== this.#lab || this.#left) return;
      this.#rules = rules;
      this.#symbolTrouble = rules.length > 0 ? "" : "There is no symbol yet: the engine lists them when it starts";
      this.#listSymbols();
      this.#follow();
    } catch (error) {
      // Who is nobody is told so once, with what the account is asked for.
      this.#symbolTrouble = isUnauthorized(error) ? "" : `The symbols cannot be listed: ${(error as Error).message}`;
    }
    paint(this.#draw);
  }

  /** An open list would close if it were made anew. */
  #listSymbols(): void {
    const names = this.#rules.map(({ symbol }) => symbol);
    if (names.join("\n") === [...this.#symbols.options].map(({ value }) => value).join("\n")) return;
    this.#symbols.replaceChildren(...names.map((symbol) => h("option", { value: symbol }, symbol)));
  }

  #follow(): void {
    if (this.#rules.length === 0) return;
    if (this.#symbol === null) {
      void this.#goToFirst();
      return;
    }
    const rules = this.#rules.find(({ symbol }) => symbol === this.#symbol);
    if (rules === undefined) {
      this.#symbolTrouble = `There is no symbol ${this.#symbol}: choose another`;
      return;
    }
    this.#symbolTrouble = "";
    this.#symbols.value = rules.symbol;
    if (this.#followed?.symbol === rules.symbol) this.#ticket.rules(rules);
    else {
      this.#ticket.choose(rules);
      this.#ladder.follow(rules.symbol);
      this.#tape.follow(rules);
    }
    this.#followed = rules;
    paint(this.#draw);
  }

  /** To the symbol that traded last, for there is something to see. */
  async #goToFirst(): Promise<void> {
    const last = await this.#lab.lastTraded().catch(() => null);
    if (this.#symbol === null && !this.#left) location.replace(ordersHash(last ?? this.#rules[0]!.symbol));
  }

  #actAs(key: string | null): void {
    storeKey(key);
    this.#key = key;
    this.#lab = new Lab(key);
    this.#own.clear();
    this.#ladder.mark([]);
    this.#ticket.forget();
    this.#select(null);
    this.#account.nobody("asking", key !== null);
    this.#accountTrouble = "";
    void this.#refresh();
    void this.#loadSymbols();
  }

  /** What an execution changed among the own orders is only there when one of them is open. */
  #executed(): void {
    paint(this.#draw);
    if (this.#own.open.some(({ symbol }) => symbol === this.#followed?.symbol)) void this.#refresh();
  }

  /** Everything of the account. One at a time: who asks meanwhile has it asked once more. */
  async #refresh(): Promise<void> {
    if (this.#left || document.hidden) return;
    if (this.#refreshing) {
      this.#due = true;
      return;
    }
    this.#refreshing = true;
    await this.#ask();
    await new Promise((resume) => setTimeout(resume, REFRESH_PAUSE_MS));
    this.#refreshing = false;
    if (!this.#due) return;
    this.#due = false;
    await this.#refresh();
  }

  async #ask(): Promise<void> {
    const lab = this.#lab;
    try {
      const identity = await lab.whoAmI();
      if (lab !== this.#lab) return;
      this.#account.identity(identity, this.#key !== null);
      if (identity.account === null) throw new Refused(UNAUTHORIZED, "no account");
      const [open, recent, balances] = await Promise.all([lab.orders("open", OPEN_MAX), lab.orders("closed", RECENT_MAX), lab.balances(identity.account)]);
      if (lab !== this.#lab) return;
      this.#account.balances(balances);
      this.#own.show(open, recent);
      this.#ladder.mark(open.filter(rests).flatMap(({ symbol, price }) => (symbol === this.#followed?.symbol && price !== null ? [price] : [])));
      await this.#showTimeline();
      this.#accountTrouble = "";
    } catch (error) {
      if (lab === this.#lab) this.#cannot(error as Error);
    }
    paint(this.#draw);
  }

  #cannot(error: Error): void {
    const nobody = isUnauthorized(error);
    if (nobody) this.#account.nobody(this.#key === null ? "no key" : "the key is not known", this.#key !== null);
    this.#accountTrouble = nobody ? "Orders need an API key: give one under Account" : `The orders cannot be read: ${error.message}`;
  }

  async #choose(id: string): Promise<void> {
    this.#select(id);
    await this.#showTimeline();
    this.#timeline.element.scrollIntoView({ block: "nearest" });
  }

  #select(id: string | null): void {
    this.#selected = id;
    this.#own.select(id);
    this.#timeline.clear(id === null ? "Choose an order to see its steps" : "…");
  }

  /** The chosen order as it is now; null where it cannot be told, or another was chosen meanwhile. */
  async #showTimeline(): Promise<OrderHistory | null> {
    const [id, lab] = [this.#selected, this.#lab];
    if (id === null) return null;
    try {
      const order = await lab.order(id);
      if (lab !== this.#lab || id !== this.#selected) return null;
      this.#timeline.show(order);
      this.#ticket.tell(id, outcome(order), order.state === "rejected");
      return order;
    } catch (error) {
      if (lab === this.#lab && id === this.#selected) this.#timeline.clear(`Not known yet: ${(error as Error).message}`);
      return null;
    }
  }

  async #cancel(order: Order): Promise<void> {
    if (!(await confirmed("Cancel this order?", [sentence(order), `${exact(order.remaining)} of it is not filled`], "Cancel the order"))) return;
    const lab = this.#lab;
    try {
      await lab.cancel(order.id);
      this.#ticket.say(`Cancel received: ${sentence(order)}`, false, order.id);
    } catch (error) {
      const { message } = error as Error;
      this.#ticket.say(error instanceof Unanswered ? `✕ Whether it is cancelled is not known: ${message}. To cancel again does no harm.` : `✕ Not cancelled: ${message}`, true);
      return;
    }
    if (lab === this.#lab) await this.#followOutcome(order.id, (now) => !isOpen(now));
  }

  /** Received says nothing of what came of it: the order is asked for until it can be told. */
  async #followOutcome(id: string, isOutcome: (order: OrderHistory) => boolean): Promise<void> {
    this.#select(id);
    for (let asked = 0; asked < OUTCOME_POLLS_MAX && id === this.#selected && !this.#left; asked++) {
      const order = await this.#showTimeline();
      if (order !== null && isOutcome(order)) break;
      await new Promise((resume) => setTimeout(resume, OUTCOME_POLL_MS));
    }
    await this.#refresh();
  }

  #draw = (): void => {
    setText(this.#notice, [this.#symbolTrouble, this.#accountTrouble].filter((each) => each !== "").join(" · "));
    if (this.#followed === null || this.#left) return;
    this.#ladder.draw();
    const { last } = this.#tape;
    const { connection, clockOffsetMs } = this.#stream;
    const { halted, reference_price, tick_size, base, quote } = this.#followed;
    setText(this.#last, grouped(last ?? reference_price, placesOf(tick_size)));
    const price = last === null ? "reference price" : "last price";
    const state = connection.kind === "stale" ? ` · stale since ${clock(connection.since + clockOffsetMs)}` : halted ? " · halted" : "";
    setText(this.#facts, `${price}, ${base} in ${quote}${state}`);
  };
}

function isUnauthorized(error: unknown): boolean {
  return error instanceof Refused && error.status === UNAUTHORIZED;
}

/** `Resting: buy …`, `Rejected: buy …, the account has not enough for it`. */
function outcome(order: OrderHistory): string {
  const why = reasonText(order.reason);
  return `${order.state === "rejected" ? "✕ " : ""}${STATES[order.state]}: ${sentence(order)}${why === "" ? "" : `, ${why}`}`;
}

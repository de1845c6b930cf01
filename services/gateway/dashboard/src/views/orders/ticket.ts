/** The order ticket: a form that is checked, confirmed, sent, and sent again under the same id where no answer came. */

import { Refused, Unanswered } from "../../api.ts";
import { h, Segmented, setData, setText } from "../../dom.ts";
import { price as grouped } from "../../format.ts";
import type { Lab, Rules } from "../../lab.ts";
import { sentence, TYPES } from "../../lifecycle.ts";
import {
  clientId, type Draft, type Field, hasPrice, hasStopPrice, mayBePostOnly, notional, type OrderBody, orderBody, type OrderType,
  type Problem, problems, type SelfTrade, type Side, TIMES_IN_FORCE, type TimeInForce,
} from "../../ticket.ts";
import { confirmed } from "./confirm.ts";

const SIDES: readonly (readonly [Side, string])[] = [["buy", "Buy"], ["sell", "Sell"]];
const TIMES: Record<TimeInForce, string> = { GTC: "Until cancelled", IOC: "Now or never, also in part", FOK: "Now and whole, or not", GTD: "For some minutes" };
const SELF_TRADES: readonly (readonly [SelfTrade, string])[] = [
  ["cancel_newest", "Cancel the new order"],
  ["cancel_oldest", "Cancel the resting order"],
  ["cancel_both", "Cancel both"],
  ["decrement_and_cancel", "Decrement and cancel"],
];
const FIELD_LENGTH_MAX = 32;

export interface TicketEvents {
  lab(): Lab;
  /** The last trade's price, where it is known. */
  last(): string | null;
  now(): number;
  /** The order was received under this id. */
  received(id: string): void;
}

export class Ticket {
  readonly element: HTMLFormElement;
  readonly #events: TicketEvents;
  readonly #title = h("h2", {}, "Order");
  readonly #sides = new Segmented("Side", (side) => this.#changed(() => (this.#side = side as Side)));
  readonly #types = new Segmented("Type", (type) => this.#changed(() => (this.#type = type as OrderType)));
  readonly #fields: Record<Field, FormField>;
  readonly #times = h("select", { name: "time_in_force", onchange: () => this.#changed() });
  readonly #selfTrade = h("select", { name: "self_trade" }, ...SELF_TRADES.map(([value, label]) => h("option", { value }, label)));
  readonly #postOnly = h("input", { type: "checkbox", name: "post_only" });
  readonly #worth = h("p", { class: "worth muted number" });
  readonly #review = h("button", { type: "submit", class: "primary", disabled: true }, "Review order");
  readonly #again = h("button", { type: "button", class: "plain", hidden: true, onclick: () => void this.#sendAgain() }, "Try again");
  readonly #result = h("p", { class: "result", role: "status" });
  #side: Side = "buy";
  #type: OrderType = "limit";
  #rules: Rules | null = null;
  /** What was sent last and may not have arrived. */
  #unanswered: OrderBody | null = null;
  #sending = false;
  #about: string | null = null;
  #symbolMessage = "";

  constructor(events: TicketEvents) {
    this.#events = events;
    this.#fields = {
      price: new FormField("price", "Price", "decimal"),
      stop_price: new FormField("stop_price", "Stop price", "decimal"),
      quantity: new FormField("quantity", "Quantity", "decimal"),
      expire_time: new FormField("expire_time", "Minutes until it expires", "decimal", "60"),
    };
    this.#sides.show(SIDES, this.#side);
    this.#types.show(Object.entries(TYPES), this.#type);
    this.element = this.#form();
    this.#changed();
  }

  #form(): HTMLFormElement {
    const { price, stop_price, quantity, expire_time } = this.#fields;
    return h(
      "form",
      { class: "panel ticket order-ticket", novalidate: true, "aria-label": "Order ticket", onsubmit: (event: Event) => void this.#submit(event), oninput: () => this.#edited() },
      h("div", { class: "ticket-head" }, this.#title, this.#sides.element),
      this.#types.element,
      stop_price.element,
      price.element,
      quantity.element,
      this.#worth,
      h("label", {}, h("span", {}, "Time in force"), this.#times),
      expire_time.element,
      h("label", {}, h("span", {}, "If it meets an own order"), this.#selfTrade),
      h("label", { class: "check" }, this.#postOnly, h("span", {}, "Post-only: never take")),
      this.#review,
      this.#result,
      this.#again,
    );
  }

  /** Begins anew for another symbol. */
  choose(rules: Rules): void {
    const { price, stop_price, quantity } = this.#fields;
    for (const each of [price, stop_price, quantity]) each.value = "";
    this.forget();
    this.rules(rules);
  }

  /** The same symbol's rules may be others by now. */
  rules(rules: Rules): void {
    if (JSON.stringify(rules) === JSON.stringify(this.#rules)) return;
    this.#rules = rules;
    setText(this.#title, rules.symbol);
    this.#fields.price.hint(`In ${rules.quote}, steps of ${rules.tick_size}`);
    this.#fields.stop_price.hint(`In ${rules.quote}: the trade price that wakes it`);
    this.#fields.quantity.hint(`In ${rules.base}, steps of ${rules.lot_size}`);
    const message = rules.halted ? `${rules.symbol} is halted: orders are rejected until it is resumed` : "";
    if (message !== this.#symbolMessage) this.say(message, true);
    this.#symbolMessage = message;
    this.#changed();
  }

  /** A market order has no price to take: it becomes a limit order. */
  takePrice(text: string): void {
    if (this.#type === "market") this.#changed(() => (this.#type = "limit"));
    this.#types.show(Object.entries(TYPES), this.#type);
    (hasPrice(this.#type) ? this.#fields.price : this.#fields.stop_price).value = text;
    this.#edited();
  }

  /** `about` is the order that it is about: of it more may be told. */
  say(text: string, bad: boolean, about: string | null = null): void {
    this.#about = about;
    setText(this.#result, text);
    setData(this.#result, "bad", String(bad));
  }

  /** What became of an order, unless something else was said since. */
  tell(id: string, text: string, bad: boolean): void {
    if (id === this.#about) this.say(text, bad, id);
  }

  get #draft(): Draft {
    const { price, stop_price, quantity, expire_time } = this.#fields;
    return {
      side: this.#side,
      type: this.#type,
      price: price.value,
      stopPrice: stop_price.value,
      quantity: quantity.value,
      timeInForce: this.#times.value as TimeInForce,
      expiresMinutes: expire_time.value,
      postOnly: this.#postOnly.checked,
      selfTrade: this.#selfTrade.value as SelfTrade,
    };
  }

  /** Only what goes together can be chosen. */
  #changed(change?: () => void): void {
    change?.();
    const times = TIMES_IN_FORCE[this.#type];
    const kept = times.find((each) => each === this.#times.value) ?? times[0]!;
    this.#times.replaceChildren(...times.map((each) => h("option", { value: each }, `${each} · ${TIMES[each]}`)));
    this.#times.value = kept;
    const { price, stop_price, expire_time } = this.#fields;
    price.element.hidden = !hasPrice(this.#type);
    stop_price.element.hidden = !hasStopPrice(this.#type);
    expire_time.element.hidden = kept !== "GTD";
    this.#postOnly.disabled = !mayBePostOnly(this.#draft);
    this.#edited();
  }

  #edited(): void {
    for (const field of Object.values(this.#fields)) field.complain(null);
    const rules = this.#rules;
    const worth = notional(this.#draft);
    setText(this.#worth, rules === null || worth === null ? "" : `${grouped(worth)} ${rules.quote}, and a fee of at most ${Math.max(rules.taker_fee_bps, rules.maker_fee_bps) / 100} %`);
    this.#review.disabled = rules === null || this.#sending;
    setData(this.element, "side", this.#side);
  }

  async #submit(event: Event): Promise<void> {
    event.preventDefault();
    if (this.#rules === null || this.#sending) return;
    const draft = this.#draft;
    const found = problems(draft, this.#rules, this.#events.last());
    this.#complain(found);
    if (found.length > 0) return;
    const order = orderBody(draft, this.#rules.symbol, clientId(), this.#events.now());
    if (!(await confirmed(sentence(order), this.#told(order), draft.side === "buy" ? "Send buy order" : "Send sell order"))) return;
    this.forget();
    await this.#send(order);
  }

  #told(order: OrderBody): string[] {
    const worth = notional(this.#draft);
    const { quote } = this.#rules!;
    return [
      ...(worth === null ? [] : [`${grouped(worth)} ${quote} in all`]),
      `${order.time_in_force}: ${TIMES[order.time_in_force].toLowerCase()}${order.expire_time === undefined ? "" : `, until ${order.expire_time.slice(0, 16).replace("T", " ")} UTC`}`,
      ...(order.post_only ? ["Post-only: rejected if it would take"] : []),
    ];
  }

  async #sendAgain(): Promise<void> {
    if (this.#unanswered !== null && !this.#sending) await this.#send(this.#unanswered);
  }

  async #send(order: OrderBody): Promise<void> {
    this.#setSending(true);
    this.say(`Sending: ${sentence(order)}`, false);
    const lab = this.#events.lab();
    try {
      await lab.place(order);
      // Another account's by now: nothing here is about it any more.
      if (lab !== this.#events.lab()) return;
      this.forget();
      this.say(`Received: ${sentence(order)}`, false, order.id);
      this.#events.received(order.id);
    } catch (error) {
      if (lab === this.#events.lab()) this.#failed(order, error as Error);
    } finally {
      this.#setSending(false);
    }
  }

  /** What is refused when it is sent again may have been received the first time. */
  #failed(order: OrderBody, error: Error): void {
    const again = this.#unanswered === order;
    const unanswered = error instanceof Unanswered;
    this.#unanswered = unanswered || again ? order : null;
    this.#again.hidden = this.#unanswered === null;
    if (unanswered) this.say(`✕ Whether it was received is not known: ${error.message}. Sent again it is still one order.`, true);
    else this.say(`✕ Not taken${again ? " this time; before, that is not known" : ""}: ${error.message}`, true);
    if (error instanceof Refused) this.#complain(error.fields.flatMap(({ path, message }) => (isField(path) ? [{ field: path, message }] : [])));
  }

  #setSending(sending: boolean): void {
    this.#sending = sending;
    this.#again.disabled = sending;
    this.#review.disabled = sending;
  }

  /** What was said of the last order, and whether it may be sent again. */
  forget(): void {
    this.#unanswered = null;
    this.#again.hidden = true;
    this.say("", false);
  }

  /** The first of them gets the focus. */
  #complain(found: readonly Problem[]): void {
    for (const { field, message } of found) this.#fields[field].complain(message);
    if (found[0] !== undefined) this.#fields[found[0].field].focus();
  }
}

function isField(name: string): name is Field {
  return ["price", "stop_price", "quantity", "expire_time"].includes(name);
}

/** A labelled text field with its hint, or what is wrong with it in the hint's place. */
class FormField {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #note: HTMLElement;
  #hint = "";

  constructor(name: string, label: string, inputmode: string, value = "") {
    const id = `note-${name}`;
    this.#input = h("input", { name, value, inputmode, autocomplete: "off", maxlength: FIELD_LENGTH_MAX, "aria-describedby": id });
    this.#note = h("small", { class: "muted", id });
    this.element = h("div", { class: "field" }, h("label", {}, h("span", {}, label), this.#input), this.#note);
  }

  get value(): string {
    return this.#input.value.trim();
  }

  set value(text: string) {
    this.#input.value = text;
  }

  hint(text: string): void {
    this.#hint = text;
    if (this.#input.getAttribute("aria-invalid") !== "true") setText(this.#note, text);
  }

  complain(message: string | null): void {
    this.#input.setAttribute("aria-invalid", String(message !== null));
    setText(this.#note, message ?? this.#hint);
  }

  focus(): void {
    this.#input.focus();
  }
}

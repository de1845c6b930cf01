/** Ticks in, verdicts out: a ticket, and the last hundred validated trades of everybody. */

import { arrowKeys, flash, h, paint, Segmented, setData, setText } from "../dom.ts";
import { age, change, clock, count, duration, price, signOf } from "../format.ts";
import type { Verdict } from "../protocol.ts";
import { type Connection, ReconnectingSocket } from "../socket.ts";
import type { Stream } from "../stream.ts";
import { fromAnswer, type MarketDataAnswer, nearby, SHOWN_MAX, tickFrame, timeMs, Verdicts } from "../verdicts.ts";
import { every, type View } from "../view.ts";

const PRICE = { minimumFractionDigits: 2, maximumFractionDigits: 8 };
/** A mean has digits without end. */
const MEAN = { minimumFractionDigits: 4, maximumFractionDigits: 4 };
/** What one may ask to be sent by itself, in ticks a second. */
const RATES = [
  ["0", "Off"],
  ["2", "2/s"],
  ["20", "20/s"],
] as const;
/** Answers are waited for up to this many ticks: beyond it the oldest is not timed. */
const WAITING_MAX = 1_000;

export function mount(root: HTMLElement, stream: Stream): View {
  return new ValidationView(root, stream);
}

class ValidationView implements View {
  readonly #stream: Stream;
  readonly #verdicts = new Verdicts();
  readonly #ticket: Ticket;
  readonly #counts = h("p", { class: "summary number", title: "Since this page was opened" });
  readonly #notice = h("p", { class: "notice", role: "status" });
  readonly #instruments = h("div", { class: "cards", "aria-label": "Instruments" });
  readonly #rows: VerdictRow[] = [];
  readonly #body = h("tbody");
  readonly #empty = h("p", { class: "muted empty" });
  readonly #pause = h("button", { type: "button", class: "toggle", "aria-pressed": "false", onclick: () => this.#togglePause() }, "Pause");
  readonly #ends: (() => void)[];

  constructor(root: HTMLElement, stream: Stream) {
    this.#stream = stream;
    this.#ticket = new Ticket((verdict) => this.#add(verdict));
    const columns: [string, string][] = [["Time", ""], ["Instrument", ""], ["Price", "number"], ["Volume", "number volume"], ["VWAP 20 min", "number"], ["Verdict", "verdict"]];
    const head = h("thead", {}, h("tr", {}, ...columns.map(([name, className]) => h("th", { scope: "col", class: className }, name))));
    const table = h("table", { class: "verdicts", "aria-label": `The last ${SHOWN_MAX} validated trades` }, head, this.#body);
    arrowKeys(table, "tr[tabindex]");
    root.append(
      h("div", { class: "toolbar" }, h("h1", {}, "Validation"), this.#counts, this.#pause),
      this.#notice,
      h("div", { class: "validation-layout" }, h("aside", { class: "side" }, this.#ticket.element), h("div", {}, this.#instruments, h("div", { class: "panel" }, table, this.#empty))),
    );
    this.#ends = [
      stream.follow({
        channel: "validated",
        exchange: "*",
        products: ["*"],
        wants: "every",
        onSnapshot: ({ data }) => this.#addAll((data as { trades: Verdict[] } | null)?.trades ?? []),
        onUpdate: ({ data }) => this.#add(data as Verdict),
        onError: ({ detail }) => setText(this.#notice, `validated: ${detail}`),
      }),
      every(500, () => paint(this.#draw)),
    ];
  }

  leave(): void {
    this.#ticket.leave();
    for (const end of this.#ends) end();
  }

  #addAll(verdicts: Verdict[]): void {
    for (const verdict of verdicts) this.#verdicts.add(verdict);
    this.#verdicts.newest.sort((one, other) => timeMs(other) - timeMs(one));
    paint(this.#draw);
  }

  #add(verdict: Verdict): void {
    if (this.#verdicts.add(verdict)) paint(this.#draw);
  }

  #togglePause(): void {
    this.#verdicts.pause(!this.#verdicts.paused);
    this.#pause.setAttribute("aria-pressed", String(this.#verdicts.paused));
    paint(this.#draw);
  }

  #draw = (): void => {
    const verdicts = this.#verdicts;
    setText(this.#pause, verdicts.paused ? `Paused · ${count(verdicts.heldBack)} more` : "Pause");
    setText(this.#counts, `✓ ${count(verdicts.valid)} valid · ✕ ${count(verdicts.invalid)} invalid`);
    this.#drawRows();
    this.#drawInstruments();
    this.#ticket.draw();
    const { connection } = this.#stream;
    setText(this.#notice, connection.kind === "stale" ? `The list is stale since ${clock(connection.since + this.#stream.clockOffsetMs)} UTC` : "");
    setText(this.#empty, verdicts.newest.length === 0 ? "Nothing was validated in the last day. Send a tick." : "");
  };

  #drawRows(): void {
    const shown = this.#verdicts.shown;
    while (this.#rows.length < shown.length) {
      const row = new VerdictRow(this.#rows.length === 0);
      this.#rows.push(row);
      this.#body.append(row.element);
    }
    shown.forEach((verdict, at) => this.#rows[at]!.show(verdict));
  }

  #drawInstruments(): void {
    const instruments = [...this.#verdicts.instruments.values()].filter(({ valid }) => valid > 0).slice(-8);
    while (this.#instruments.children.length < instruments.length) this.#instruments.append(card());
    instruments.forEach((instrument, at) => {
      const [name, vwap, apart] = this.#instruments.children[at]!.children as unknown as HTMLElement[];
      const ratio = instrument.price / instrument.vwap - 1;
      setText(name!, instrument.name);
      setText(vwap!, instrument.vwap.toLocaleString("en-US", MEAN));
      setText(apart!, `last ${instrument.price.toLocaleString("en-US", PRICE)} ${change(ratio)}`);
      setData(apart!, "sign", signOf(ratio));
    });
  }
}

function card(): HTMLElement {
  return h("div", { class: "card", title: "VWAP of the last 20 minutes, and the last price beside it" }, h("span", { class: "card-name" }), h("strong", { class: "number" }), h("span", { class: "number" }));
}

/** One line of the list, written in place as newer verdicts push the others down. */
class VerdictRow {
  readonly element: HTMLTableRowElement;
  readonly #cells: HTMLTableCellElement[];
  #shown: Verdict | null = null;

  constructor(first: boolean) {
    this.#cells = ["number muted", "", "number", "number volume", "number", "verdict"].map((className) => h("td", { class: className }));
    this.element = h("tr", { tabindex: first ? 0 : -1 }, ...this.#cells);
  }

  show(verdict: Verdict): void {
    if (verdict === this.#shown) return;
    this.#shown = verdict;
    const valid = verdict.status === "VALID";
    const [time, instrument, tickPrice, volume, vwap, status] = this.#cells;
    setData(this.element, "status", verdict.status);
    setText(time!, clock(timeMs(verdict)));
    setText(instrument!, verdict.instrument_id);
    setText(tickPrice!, Number(verdict.price).toLocaleString("en-US", PRICE));
    setText(volume!, price(verdict.volume));
    setText(vwap!, valid ? verdict.vwap_20m.toLocaleString("en-US", MEAN) : "–");
    setText(status!, valid ? "✓ VALID" : `✕ INVALID ${verdict.reason ?? ""}`);
    if (this.element.rowIndex === 1) flash(this.element, valid ? "up" : "down");
  }
}

/** The form, with a socket of its own to `/ws/marketdata`. */
class Ticket {
  readonly element: HTMLElement;
  readonly #answered: (verdict: Verdict) => void;
  readonly #socket: ReconnectingSocket;
  readonly #instrument = h("input", { name: "instrument", value: "ACME", autocomplete: "off", spellcheck: "false", maxlength: 64, autocapitalize: "characters" });
  readonly #price = h("input", { name: "price", value: "101.25", inputmode: "decimal", autocomplete: "off" });
  readonly #volume = h("input", { name: "volume", value: "100", inputmode: "numeric", autocomplete: "off" });
  readonly #send = h("button", { type: "submit", class: "primary", disabled: true }, "Send tick");
  readonly #result = h("p", { class: "result", role: "status" });
  readonly #state = h("span", { class: "pill", "data-kind": "connecting" }, h("i", { "aria-hidden": "true" }), h("span", {}, "Connecting"));
  readonly #rates = new Segmented("Send by itself", (rate) => this.#repeat(Number(rate)));
  readonly #waiting: number[] = [];
  #connection: Connection = { kind: "connecting", retryAt: null };
  #timer: ReturnType<typeof setInterval> | undefined;
  #lastAnswer = "";
  #bad = false;

  constructor(answered: (verdict: Verdict) => void) {
    this.#answered = answered;
    this.#rates.show(RATES, "0");
    this.element = this.#form();
    this.#socket = new ReconnectingSocket("/ws/marketdata", {
      onOpen: () => this.#socket.established(),
      onText: (text) => this.#receive(JSON.parse(text) as MarketDataAnswer | { type: "error"; detail: string }),
      onDisconnected: () => this.#waiting.splice(0),
      onConnection: (connection) => {
        this.#connection = connection;
        paint(this.draw);
      },
    });
    this.#socket.open();
  }

  leave(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  draw = (): void => {
    const { kind } = this.#connection;
    setData(this.#state, "kind", kind);
    setText(this.#state.lastElementChild!, this.#stateText());
    this.#send.disabled = kind !== "live";
    setText(this.#result, this.#lastAnswer);
    setData(this.#result, "bad", String(this.#bad));
  };

  #stateText(): string {
    const connection = this.#connection;
    if (connection.kind === "live") return this.#waiting.length > 0 ? `Live · ${this.#waiting.length} unanswered` : "Live";
    if (connection.kind === "refused") return "Refused";
    const again = connection.retryAt === null ? "connecting" : `next try in ${age(connection.retryAt - Date.now())}`;
    return connection.kind === "stale" ? `Away, ${again}` : `No validator yet, ${again}`;
  }

  #form(): HTMLElement {
    const field = (label: string, input: HTMLElement, hint: string): HTMLElement => {
      const id = `hint-${label.toLowerCase()}`;
      input.setAttribute("aria-describedby", id);
      return h("div", { class: "field" }, h("label", {}, h("span", {}, label), input), h("small", { class: "muted", id }, hint));
    };
    return h(
      "form",
      { class: "panel ticket", novalidate: true, onsubmit: (event: Event) => this.#submit(event) },
      h("div", { class: "ticket-head" }, h("h2", {}, "Send a tick"), this.#state),
      field("Instrument", this.#instrument, "3 to 10 characters"),
      field("Price", this.#price, "0.01 to 10,000 unless set otherwise"),
      field("Volume", this.#volume, "a whole number"),
      this.#send,
      this.#result,
      h("div", { class: "repeat" }, h("span", { class: "muted" }, "By itself, near this price"), this.#rates.element),
    );
  }

  #submit(event: Event): void {
    event.preventDefault();
    this.#sendTick(this.#price.value.trim());
    paint(this.draw);
  }

  #sendTick(tickPrice: string): void {
    try {
      const frame = tickFrame(this.#instrument.value.trim(), tickPrice, this.#volume.value.trim());
      if (!this.#socket.send(frame)) return;
      this.#waiting.push(performance.now());
      if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
    } catch (error) {
      this.#say((error as Error).message, true);
    }
  }

  #repeat(perSecond: number): void {
    clearInterval(this.#timer);
    if (perSecond > 0) this.#timer = setInterval(() => this.#sendNearby(), 1_000 / perSecond);
  }

  #sendNearby(): void {
    const near = Number(this.#price.value);
    if (this.#connection.kind === "live" && Number.isFinite(near)) this.#sendTick(nearby(near, Math.random()));
  }

  /** Answers come in the order of the ticks, one each. */
  #receive(message: MarketDataAnswer | { type: "error"; detail: string }): void {
    const sentAt = this.#waiting.shift();
    if ("type" in message) {
      this.#say(`✕ ${message.detail}`, true);
      return;
    }
    const took = sentAt === undefined ? "" : ` in ${duration(performance.now() - sentAt)}`;
    const verdict = fromAnswer(message);
    if (verdict.status === "VALID") this.#say(`✓ Valid${took}. VWAP ${verdict.vwap_20m.toLocaleString("en-US", MEAN)}`, false);
    else this.#say(`✕ Invalid${took}. ${verdict.reason ?? ""}`, true);
    this.#answered(verdict);
  }

  #say(text: string, bad: boolean): void {
    this.#lastAnswer = text;
    this.#bad = bad;
    paint(this.draw);
  }
}

/** As whom this page acts: the key's account, its balances, and which replica answered. */

import { h, setText } from "../../dom.ts";
import { clock, exact } from "../../format.ts";
import type { Balance, WhoAmI } from "../../lab.ts";

const REPLICAS_SHOWN_MAX = 8;

export class AccountPanel {
  readonly element: HTMLElement;
  readonly #name = h("strong", { class: "account-name" }, "–");
  readonly #scopes = h("span", { class: "muted" });
  readonly #key = h("input", { type: "password", name: "api-key", autocomplete: "off", spellcheck: "false", maxlength: 256, "aria-describedby": "note-api-key" });
  readonly #forget = h("button", { type: "button", class: "toggle", hidden: true, onclick: () => this.#used(null) }, "Forget the key");
  readonly #balances = h("tbody");
  readonly #noBalances = h("p", { class: "muted empty" });
  readonly #replica = h("p", { class: "replica number", });
  readonly #replicas = h("p", { class: "muted number replicas" });
  readonly #used: (key: string | null) => void;
  readonly #seen: string[] = [];
  readonly #now: () => number;
  #current: string | null = null;
  #before: { instance: string; until: number } | null = null;

  constructor(used: (key: string | null) => void, now: () => number) {
    this.#used = used;
    this.#now = now;
    const form = h(
      "form",
      { class: "key-form", onsubmit: (event: Event) => this.#submit(event) },
      h("label", {}, h("span", {}, "API key of another account"), this.#key),
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "toggle" }, "Use it"), this.#forget),
      h("small", { class: "muted", id: "note-api-key" }, "Kept until this tab is closed, and nowhere else"),
    );
    const head = h("thead", {}, h("tr", {}, ...["Asset", "Available", "Held"].map((name) => h("th", { scope: "col" }, name))));
    const table = h("table", { class: "tape balances", "aria-label": "Balances" }, head, this.#balances);
    this.element = h(
      "section",
      { class: "panel account", "aria-label": "Account" },
      h("div", { class: "panel-head" }, h("h2", {}, "Account"), h("span", {}, this.#name, " ", this.#scopes)),
      table,
      this.#noBalances,
      form,
      this.#replica,
      this.#replicas,
    );
  }

  /** `why` it is nobody, where it is. */
  nobody(why: string, hasKey: boolean): void {
    setText(this.#name, "–");
    setText(this.#scopes, why);
    this.#forget.hidden = !hasKey;
    this.balances([]);
  }

  identity({ account, scopes, instance }: WhoAmI, hasKey: boolean): void {
    setText(this.#name, account ?? "–");
    setText(this.#scopes, [hasKey ? "by its key" : "without a key", ...scopes].join(" · "));
    this.#forget.hidden = !hasKey;
    this.#answeredBy(instance);
  }

  balances(balances: readonly Balance[]): void {
    setText(this.#noBalances, balances.length === 0 ? "No balances" : "");
    while (this.#balances.rows.length > balances.length) this.#balances.deleteRow(-1);
    while (this.#balances.rows.length < balances.length) this.#balances.append(h("tr", {}, h("td"), h("td", { class: "number" }), h("td", { class: "number" })));
    balances.forEach(({ asset, available, held }, at) => {
      const [name, free, kept] = this.#balances.rows[at]!.cells;
      setText(name!, asset);
      setText(free!, exact(available));
      setText(kept!, exact(held));
    });
  }

  #submit(event: Event): void {
    event.preventDefault();
    const key = this.#key.value.trim();
    this.#key.value = "";
    if (key !== "") this.#used(key);
  }

  /** Requests may be answered by any replica: by which this one, and by which another before. */
  #answeredBy(instance: string): void {
    if (this.#current !== null && this.#current !== instance) this.#before = { instance: this.#current, until: this.#now() };
    this.#current = instance;
    if (!this.#seen.includes(instance)) this.#seen.push(instance);
    if (this.#seen.length > REPLICAS_SHOWN_MAX) this.#seen.shift();
    const before = this.#before === null ? "" : `, until ${clock(this.#before.until)} UTC by ${this.#before.instance}`;
    setText(this.#replica, `Answered by ${instance}${before}`);
    setText(this.#replicas, this.#seen.length > 1 ? `Replicas seen: ${this.#seen.join(", ")}` : "");
  }
}

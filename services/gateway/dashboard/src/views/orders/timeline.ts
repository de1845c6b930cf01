/** One order's life: every step with its time, and its executions. */

import { h, setText } from "../../dom.ts";
import { exact, minute, moment, price as grouped, signed } from "../../format.ts";
import type { OrderHistory, OwnExecution, Step } from "../../lab.ts";
import { reasonText, sentence, SIGNS, STATES } from "../../lifecycle.ts";

export class Timeline {
  readonly element: HTMLElement;
  readonly #what = h("p", { class: "what number" });
  readonly #id = h("p", { class: "muted id" });
  readonly #steps = h("ol", { class: "steps number", "aria-label": "Steps" });
  readonly #executionsHead = h("h3", { hidden: true }, "Executions");
  readonly #executions = h("ul", { class: "steps number", "aria-label": "Executions of this order" });

  #told = "";

  constructor() {
    this.element = h("section", { class: "panel timeline", "aria-label": "Timeline" }, h("h2", {}, "Timeline"), this.#what, this.#id, this.#steps, this.#executionsHead, this.#executions);
    this.clear("Choose an order to see its steps");
  }

  show(order: OrderHistory): void {
    const told = JSON.stringify(order);
    if (told === this.#told) return;
    this.#told = told;
    setText(this.#what, sentence(order));
    setText(this.#id, `${order.id} · ${minute(Date.parse(order.received_time))} UTC`);
    const began = Date.parse(order.steps[0]?.time ?? order.received_time);
    this.#steps.replaceChildren(...order.steps.map((step) => stepItem(step, began)));
    this.#executions.replaceChildren(...order.executions.map(executionItem));
    this.#executionsHead.hidden = order.executions.length === 0;
  }

  clear(why: string): void {
    this.#told = "";
    setText(this.#what, why);
    setText(this.#id, "");
    this.#steps.replaceChildren();
    this.#executions.replaceChildren();
    this.#executionsHead.hidden = true;
  }
}

function stepItem(step: Step, began: number): HTMLElement {
  const time = Date.parse(step.time);
  const facts = [reasonText(step.reason), `${exact(step.remaining)} left`].filter((each) => each !== "");
  return h(
    "li",
    { "data-state": step.state },
    h("span", { class: "step-state" }, `${SIGNS[step.state]} ${STATES[step.state]}`),
    h("time", { class: "muted", datetime: step.time, title: `${signed((time - began) / 1_000, 3)} s` }, moment(time)),
    h("span", { class: "step-facts muted" }, facts.join(" · ")),
  );
}

function executionItem({ price, quantity, role, fee, time }: OwnExecution): HTMLElement {
  return h(
    "li",
    {},
    h("span", { class: "step-state" }, `${exact(quantity)} at ${grouped(price)}`),
    h("time", { class: "muted", datetime: time }, moment(Date.parse(time))),
    h("span", { class: "step-facts muted" }, `as ${role}, fee ${exact(fee)}`),
  );
}

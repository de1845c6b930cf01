/** Making elements, and changing them once a frame at most. */

type Attributes = Record<string, string | number | boolean | null | ((event: never) => void)>;

/** An element. Functions become listeners (`onclick`), `true` an empty attribute, `false` and `null` none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as unknown as EventListener);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag: string, attributes: Record<string, string>, ...children: Node[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Writes only what changed: a text that is the same costs no layout. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setData(element: HTMLElement | SVGElement, name: string, value: string): void {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

const due = new Set<() => void>();

/** Calls it in the next animation frame, once, however often it is asked for until then. */
export function paint(draw: () => void): void {
  if (due.size === 0) requestAnimationFrame(drawAll);
  due.add(draw);
}

function drawAll(): void {
  const now = [...due];
  due.clear();
  for (const draw of now) draw();
}

const FLASH_MS = 700;
const glowing = new WeakMap<Element, { animation: Animation; direction: string; since: number }>();
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** A short glow. One at a time and element, so that a burst costs no more than a single trade. */
export function flash(element: HTMLElement, direction: "up" | "down"): void {
  const glow = glowing.get(element);
  const since = performance.now();
  if (still.matches || (glow?.direction === direction && since - glow.since < FLASH_MS / 3)) return;
  glow?.animation.cancel();
  const backgroundColor = `var(--${direction}-glow)`;
  // In steps: a glow that fades without them is painted in every frame, and many rows glow at once.
  const animation = element.animate([{ backgroundColor }, { backgroundColor: "transparent" }], { duration: FLASH_MS, easing: "steps(4, jump-end)" });
  glowing.set(element, { animation, direction, since });
}

/** Arrow keys, Home and End move the focus among what the selector finds in there. */
export function arrowKeys(container: HTMLElement, selector: string): void {
  container.addEventListener("keydown", (event) => {
    const items = [...container.querySelectorAll<HTMLElement>(selector)].filter((each) => each.offsetParent !== null);
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (at < 0 || to === undefined || items[to] === undefined) return;
    event.preventDefault();
    items[to].focus();
  });
}

/** One choice of several: a radio group, moved through by the arrow keys. */
export class Segmented {
  readonly element: HTMLElement;
  readonly #choose: (value: string) => void;
  #value = "";

  constructor(label: string, choose: (value: string) => void) {
    this.#choose = choose;
    this.element = h("div", { class: "segmented", role: "radiogroup", "aria-label": label, onkeydown: (event: KeyboardEvent) => this.#key(event) });
  }

  /** Takes values, or pairs of a value and its label. */
  show(choices: readonly (string | readonly [string, string])[], value: string): void {
    this.#value = value;
    const pairs = choices.map((choice) => (typeof choice === "string" ? ([choice, choice] as const) : choice));
    const same = pairs.map(([each]) => each).join("\n") === this.#buttons().map((each) => each.value).join("\n");
    if (!same) this.element.replaceChildren(...pairs.map(([each]) => this.#button(each)));
    this.#buttons().forEach((button, at) => setText(button, pairs[at]![1]));
    this.#mark();
  }

  #button(value: string): HTMLButtonElement {
    return h("button", { type: "button", role: "radio", value, onclick: () => this.#pick(value) });
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.element.querySelectorAll("button")];
  }

  #pick(value: string): void {
    this.#value = value;
    this.#mark();
    this.#choose(value);
  }

  #mark(): void {
    for (const button of this.#buttons()) {
      const chosen = button.value === this.#value;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const buttons = this.#buttons();
    const at = buttons.findIndex((each) => each.value === this.#value);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    if (next === undefined) return;
    next.focus();
    this.#pick(next.value);
  }
}

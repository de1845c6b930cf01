/** A question before something is done that cannot be undone. Enter does it, Escape does not. */

import { h } from "../../dom.ts";

/** Resolves to whether it shall be done. The focus goes back to where it was. */
export function confirmed(title: string, lines: readonly string[], action: string): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (done: boolean): void => {
      removeEventListener("hashchange", away);
      dialog.close();
      dialog.remove();
      resolve(done);
    };
    const away = (): void => end(false);
    addEventListener("hashchange", away);
    const heading = h("h2", { id: "question" }, title);
    const yes = h("button", { type: "button", class: "primary", autofocus: true, onclick: () => end(true) }, action);
    const no = h("button", { type: "button", class: "plain", onclick: () => end(false) }, "Back");
    const dialog = h(
      "dialog",
      { class: "question", "aria-labelledby": "question", oncancel: (event: Event) => (event.preventDefault(), end(false)) },
      heading,
      ...lines.map((line) => h("p", {}, line)),
      h("div", { class: "buttons" }, yes, no),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

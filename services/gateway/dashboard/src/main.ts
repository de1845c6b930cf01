/** The page: which view is shown, whether its prices are live, what time it is, light or dark. */

import { paint, setData, setText } from "./dom.ts";
import { age, clock } from "./format.ts";
import { parseRoute, type Route } from "./route.ts";
import type { Connection } from "./socket.ts";
import { Stream } from "./stream.ts";
import type { Mount, View } from "./view.ts";
import { mount as markets } from "./views/markets.ts";

const VIEWS: Record<Route["view"], () => Mount | Promise<Mount>> = {
  markets: () => markets,
  chart: async () => (await import("./views/chart.ts")).mount,
  validation: async () => (await import("./views/validation.ts")).mount,
  orders: async () => (await import("./views/orders.ts")).mount,
  operations: async () => (await import("./views/operations.ts")).mount,
};

const root = byId("view");
const stream = new Stream();
let shown: { name: Route["view"]; view: View } | null = null;

async function navigate(): Promise<void> {
  const route = parseRoute(location.hash);
  if (shown?.name === route.view) {
    shown.view.moved?.(route);
    return;
  }
  const mount = await VIEWS[route.view]();
  // While it was loaded the user may have gone elsewhere.
  if (parseRoute(location.hash).view !== route.view) return;
  shown?.view.leave();
  root.replaceChildren();
  setData(root, "view", route.view);
  shown = { name: route.view, view: mount(root, stream, route) };
  document.title = `${title(route.view)} · Tickplane`;
  for (const tab of document.querySelectorAll<HTMLAnchorElement>(".tabs a")) {
    if (tab.dataset.view === route.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}

function title(view: string): string {
  return view.charAt(0).toUpperCase() + view.slice(1);
}

function showConnection(): void {
  const connection = stream.connection;
  const pill = byId("connection");
  setData(pill, "kind", connection.kind);
  setText(pill.querySelector("span")!, brief(connection));
  const stale = connection.kind === "stale" || connection.kind === "refused";
  root.toggleAttribute("data-stale", stale);
  const banner = byId("banner");
  banner.hidden = !stale;
  setText(banner.querySelector("span")!, stale ? explained(connection) : "");
}

function brief(connection: Connection): string {
  switch (connection.kind) {
    case "connecting":
      return "Connecting";
    case "live":
      return "Live";
    case "stale":
      return `Stale since ${clock(connection.since + stream.clockOffsetMs)}`;
    case "refused":
      return "Refused";
  }
}

function explained(connection: Connection): string {
  if (connection.kind === "refused") return `The server refused this page: ${connection.reason}`;
  if (connection.kind !== "stale") return "";
  const since = `Stale since ${clock(connection.since + stream.clockOffsetMs)} UTC: what is shown is from before.`;
  if (connection.retryAt === null) return `${since} Connecting…`;
  return `${since} Next try in ${age(connection.retryAt - Date.now())}.`;
}

/** Said once a change, not once a second. */
function announce(connection: Connection): void {
  const said = { connecting: "Connecting", live: "Prices are live", stale: "Connection lost, prices are stale", refused: "Connection refused" };
  setText(byId("announcement"), said[connection.kind]);
}

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

function showTheme(theme: Theme): void {
  const button = byId("theme");
  setText(button, { system: "◐", light: "☀", dark: "☾" }[theme]);
  button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
  button.title = `Theme: ${theme}`;
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

function chosenTheme(): Theme {
  const stored = document.documentElement.dataset.theme as Theme | undefined;
  return stored ?? "system";
}

function nextTheme(): void {
  const theme = THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]!;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // A browser that stores nothing forgets it with the page.
  }
  showTheme(theme);
}

function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

function tick(): void {
  setText(byId("clock"), `${clock(stream.now())} UTC`);
  showConnection();
}

let announced: Connection["kind"] = "connecting";
stream.onConnection((connection) => {
  paint(showConnection);
  if (connection.kind !== announced) announce(connection);
  announced = connection.kind;
});
byId("theme").addEventListener("click", nextTheme);
byId("banner").querySelector("button")!.addEventListener("click", () => stream.retryNow());
document.querySelector(".skip")!.addEventListener("click", (event) => {
  event.preventDefault();
  root.focus();
});
addEventListener("hashchange", () => void navigate());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
showTheme(chosenTheme());
setInterval(() => paint(tick), 500);
tick();
stream.open();
void navigate();

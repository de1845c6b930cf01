/** The part of the address behind `#`: which view, and of what. */

export type Route =
  | { view: "markets" | "validation" | "operations" }
  | { view: "orders"; symbol: string | null }
  | { view: "chart"; exchange: string | null; product: string | null; resolution: string };

export const RESOLUTION_DEFAULT = "1m";

/** What it cannot read is the markets. */
export function parseRoute(hash: string): Route {
  const [view, exchange, product, resolution] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (view === "validation" || view === "operations") return { view };
  if (view === "orders") return { view, symbol: exchange || null };
  if (view !== "chart") return { view: "markets" };
  return { view, exchange: exchange || null, product: product || null, resolution: resolution || RESOLUTION_DEFAULT };
}

export function chartHash(exchange: string, product: string, resolution = RESOLUTION_DEFAULT): string {
  return `#/chart/${[exchange, product, resolution].map(encodeURIComponent).join("/")}`;
}

export function ordersHash(symbol: string): string {
  return `#/orders/${encodeURIComponent(symbol)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

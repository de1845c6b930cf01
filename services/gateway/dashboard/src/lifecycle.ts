/** An order's life in words. No page in here. */

import { exact } from "./format.ts";
import type { Order, OrderState } from "./lab.ts";
import type { OrderBody, OrderType } from "./ticket.ts";

export const STATES: Record<OrderState, string> = {
  received: "Received",
  accepted: "Accepted",
  resting: "Resting",
  partially_filled: "Partly filled",
  filled: "Filled",
  cancelled: "Cancelled",
  rejected: "Rejected",
  expired: "Expired",
};

/** So that colour is not the only sign. */
export const SIGNS: Record<OrderState, string> = {
  received: "…",
  accepted: "○",
  resting: "○",
  partially_filled: "◐",
  filled: "●",
  cancelled: "✕",
  rejected: "✕",
  expired: "✕",
};

export const TYPES: Record<OrderType, string> = { limit: "Limit", market: "Market", stop: "Stop", stop_limit: "Stop-limit" };

const REASONS: Record<string, string> = {
  unknown_symbol: "there is no such symbol",
  unknown_order: "there is no such open order",
  symbol_halted: "the symbol is halted",
  quantity: "the quantity is out of bounds",
  notional: "price times quantity is out of bounds",
  price: "the price does not fit",
  price_band: "the price is too far from the last one",
  stop_price: "the stop price does not fit",
  stop_would_trigger: "the last trade has reached the stop price already",
  expire_time: "its time is over already",
  post_only_would_take: "post-only, and it would have traded at once",
  too_many_open_orders: "the account has too many open orders",
  insufficient_balance: "the account has not enough for it",
  symbol_rules: "it does not fit the symbol's rules",
  stop_triggered: "the stop price was reached",
  requested: "as asked for",
  self_trade: "it met an order of the same account",
  unfilled: "what was not filled at once",
  fill_or_kill: "it could not be filled whole",
  replaced: "it was replaced",
};

const OPEN: readonly OrderState[] = ["received", "accepted", "resting", "partially_filled"];

export function isOpen({ state }: { state: OrderState }): boolean {
  return OPEN.includes(state);
}

/** Whether it is in the book: a stop that waits is not. */
export function rests({ state }: { state: OrderState }): boolean {
  return state === "resting" || state === "partially_filled";
}

/** A reason that this page does not know is shown as it came. */
export function reasonText(reason: string | null): string {
  return reason === null ? "" : (REASONS[reason] ?? reason.replaceAll("_", " "));
}

/** `Buy 1.5 DEMO-USD at 100.25`, `Sell 2 DEMO-USD at market, once 95 is reached`. */
export function sentence(order: Order | OrderBody): string {
  const { side, symbol, quantity, price, stop_price } = order;
  const at = price == null ? "at market" : `at ${exact(price)}`;
  const once = stop_price == null ? "" : `, once ${exact(stop_price)} is reached`;
  return `${side === "buy" ? "Buy" : "Sell"} ${exact(quantity)} ${symbol} ${at}${once}`;
}

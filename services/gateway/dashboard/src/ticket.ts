/** An order before it is sent: which fields go together, what is wrong with them, and what is sent. No page in here. */

import { compare, isTyped, multiply, ofSteps, stepsOf, trimmed } from "./decimal.ts";
import { price as grouped } from "./format.ts";
import type { Rules } from "./lab.ts";

export type Side = "buy" | "sell";
export type OrderType = "limit" | "market" | "stop" | "stop_limit";
export type TimeInForce = "GTC" | "IOC" | "FOK" | "GTD";
export type SelfTrade = "cancel_newest" | "cancel_oldest" | "cancel_both" | "decrement_and_cancel";
export type Field = "price" | "stop_price" | "quantity" | "expire_time";

/** What is in the form, as it was typed. */
export interface Draft {
  side: Side;
  type: OrderType;
  price: string;
  stopPrice: string;
  quantity: string;
  timeInForce: TimeInForce;
  expiresMinutes: string;
  postOnly: boolean;
  selfTrade: SelfTrade;
}

/** What `POST /v1/orders` takes. */
export interface OrderBody {
  id: string;
  symbol: string;
  side: Side;
  type: OrderType;
  quantity: string;
  price?: string;
  stop_price?: string;
  time_in_force: TimeInForce;
  expire_time?: string;
  post_only?: true;
  self_trade: SelfTrade;
}

export interface Problem {
  field: Field;
  message: string;
}

/** A stop's time in force is about its waiting. The first is the usual one. */
export const TIMES_IN_FORCE: Record<OrderType, readonly TimeInForce[]> = {
  limit: ["GTC", "IOC", "FOK", "GTD"],
  market: ["IOC", "FOK"],
  stop: ["GTC", "GTD"],
  stop_limit: ["GTC", "GTD"],
};

const BPS_PER_ONE = 10_000;
const MINUTE_MS = 60_000;
const EXPIRES_MAX_MINUTES = 525_600;

export function hasPrice(type: OrderType): boolean {
  return type === "limit" || type === "stop_limit";
}

export function hasStopPrice(type: OrderType): boolean {
  return type === "stop" || type === "stop_limit";
}

export function mayBePostOnly({ type, timeInForce }: Draft): boolean {
  return type === "limit" && (timeInForce === "GTC" || timeInForce === "GTD");
}

/**
 * What can be said against it without knowing accounts or the book, one a field at most. `last` is the last trade's
 * price, null where it is not known: then the band, which is around it, is left to the server.
 */
export function problems(draft: Draft, rules: Rules, last: string | null): Problem[] {
  const found = [
    hasStopPrice(draft.type) ? of("stop_price", stopPriceProblem(draft, rules, last)) : null,
    hasPrice(draft.type) ? of("price", priceProblem(draft, rules, last)) : null,
    of("quantity", quantityProblem(draft.quantity, rules)),
    draft.timeInForce === "GTD" ? of("expire_time", expiryProblem(draft.expiresMinutes)) : null,
  ].filter((each) => each !== null);
  if (found.length > 0) return found;
  const message = notionalProblem(draft, rules);
  return message === null ? [] : [{ field: "quantity", message }];
}

/** Price times quantity in the quote asset; null where it has no price, or one that is no number. */
export function notional({ type, price, quantity }: Draft): string | null {
  return hasPrice(type) && isTyped(price) && isTyped(quantity) ? trimmed(multiply(price, quantity)) : null;
}

/** What is sent. The id is made once an order: sent again, with the same fields, it is the same order. */
export function orderBody(draft: Draft, symbol: string, id: string, now_ms: number): OrderBody {
  const { side, type, quantity, timeInForce, selfTrade } = draft;
  const body: OrderBody = { id, symbol, side, type, quantity, time_in_force: timeInForce, self_trade: selfTrade };
  if (hasPrice(type)) body.price = draft.price;
  if (hasStopPrice(type)) body.stop_price = draft.stopPrice;
  if (timeInForce === "GTD") body.expire_time = new Date(now_ms + Number(draft.expiresMinutes) * MINUTE_MS).toISOString();
  if (draft.postOnly && mayBePostOnly(draft)) body.post_only = true;
  return body;
}

const ID_BYTES = 12;

/** 96 random bits. `randomUUID` is only there where a page came by TLS or from this machine. */
export function clientId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function of(field: Field, message: string | null): Problem | null {
  return message === null ? null : { field, message };
}

function priceProblem({ type, price, stopPrice }: Draft, rules: Rules, last: string | null): string | null {
  const problem = stepsProblem("price", price, rules.tick_size);
  if (problem !== null) return problem;
  // A stop's limit is held against its own stop price: there is where it will trade.
  if (type === "stop_limit") return stepsProblem("", stopPrice, rules.tick_size) === null ? bandProblem(price, stopPrice, "the stop price", rules) : null;
  return last === null ? null : bandProblem(price, last, "the last price", rules);
}

function stopPriceProblem({ side, stopPrice }: Draft, rules: Rules, last: string | null): string | null {
  const problem = stepsProblem("stop price", stopPrice, rules.tick_size);
  if (problem !== null || last === null) return problem;
  const reached = side === "buy" ? compare(last, stopPrice) >= 0 : compare(last, stopPrice) <= 0;
  if (!reached) return null;
  return `A ${side} stop has to be ${side === "buy" ? "above" : "below"} the last price, ${grouped(last)}`;
}

function bandProblem(price: string, around: string, name: string, { tick_size, band_bps }: Rules): string | null {
  const steps = stepsOf(around, tick_size)!;
  const middle = BigInt(steps);
  const one = BigInt(BPS_PER_ONE);
  const band = BigInt(band_bps);
  const lowest = ofSteps(Number((middle * (one - band) + one - 1n) / one), tick_size);
  const highest = ofSteps(Number((middle * (one + band)) / one), tick_size);
  if (compare(price, lowest) >= 0 && compare(price, highest) <= 0) return null;
  return `The price has to be from ${grouped(lowest)} to ${grouped(highest)}: at most ${band_bps / 100} % from ${name}, ${grouped(ofSteps(steps, tick_size))}`;
}

function quantityProblem(quantity: string, { lot_size, min_quantity, max_quantity, base }: Rules): string | null {
  const problem = stepsProblem("quantity", quantity, lot_size);
  if (problem !== null) return problem;
  if (min_quantity !== null && compare(quantity, min_quantity) < 0) return `The quantity has to be at least ${grouped(min_quantity)} ${base}`;
  if (max_quantity !== null && compare(quantity, max_quantity) > 0) return `The quantity has to be at most ${grouped(max_quantity)} ${base}`;
  return null;
}

function stepsProblem(name: string, text: string, step: string): string | null {
  if (text === "") return `A ${name} is needed`;
  if (!isTyped(text)) return `The ${name} is not a number, as in ${ofSteps(10_025, step)}`;
  if (compare(text, "0") === 0) return `The ${name} has to be above zero`;
  const steps = stepsOf(text, step);
  if (steps === null) return `The ${name} has to be a multiple of ${step}`;
  return steps > Number.MAX_SAFE_INTEGER ? `The ${name} is too large` : null;
}

function notionalProblem(draft: Draft, { min_notional, max_notional, quote }: Rules): string | null {
  const worth = notional(draft);
  if (worth === null) return null;
  const told = `${grouped(worth)} ${quote} in all`;
  if (compare(worth, min_notional) < 0) return `${told}: at least ${grouped(min_notional)} ${quote} is needed`;
  if (max_notional !== null && compare(worth, max_notional) > 0) return `${told}: at most ${grouped(max_notional)} ${quote} is allowed`;
  return null;
}

function expiryProblem(minutes: string): string | null {
  const value = Number(minutes);
  return isTyped(minutes) && value > 0 && value <= EXPIRES_MAX_MINUTES ? null : "The time has to be a number of minutes, at most those of a year";
}

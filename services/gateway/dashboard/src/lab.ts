/** The order lab over REST, as one account. Prices, quantities and amounts are decimal text, times RFC 3339 UTC. */

import { get, send } from "./api.ts";
import type { OrderBody, OrderType, SelfTrade, Side, TimeInForce } from "./ticket.ts";

/** What may be traded. Bounds that are null are none. */
export interface Rules {
  symbol: string;
  base: string;
  quote: string;
  tick_size: string;
  lot_size: string;
  reference_price: string;
  min_quantity: string | null;
  max_quantity: string | null;
  min_notional: string;
  max_notional: string | null;
  band_bps: number;
  maker_fee_bps: number;
  taker_fee_bps: number;
  halted: boolean;
}

export type OrderState = "received" | "accepted" | "resting" | "partially_filled" | "filled" | "cancelled" | "rejected" | "expired";

export interface Order {
  id: string;
  symbol: string;
  side: Side;
  type: OrderType;
  time_in_force: TimeInForce;
  post_only: boolean;
  self_trade: SelfTrade;
  price: string | null;
  stop_price: string | null;
  expire_time: string | null;
  quantity: string;
  remaining: string;
  filled: string;
  fee: string;
  state: OrderState;
  reason: string | null;
  received_time: string;
  updated_time: string;
}

export interface Step {
  state: OrderState;
  reason: string | null;
  price: string | null;
  quantity: string | null;
  remaining: string;
  time: string;
}

/** One of an order's executions, from its side. The fee is in the quote asset. */
export interface OwnExecution {
  execution_id: string;
  price: string;
  quantity: string;
  role: "maker" | "taker";
  fee: string;
  time: string;
}

/** Steps come oldest first, executions newest first. */
export interface OrderHistory extends Order {
  steps: Step[];
  executions: OwnExecution[];
}

export interface Balance {
  asset: string;
  available: string;
  held: string;
}

export interface WhoAmI {
  /** Which replica answered. */
  instance: string;
  /** Null for who has no key, where there is no account for those. */
  account: string | null;
  scopes: string[];
}

const KEY_NAME = "apiKey";

export class Lab {
  readonly #headers: Record<string, string>;

  /** Without a key it is the account that the server has for those who show none, if any. */
  constructor(key: string | null) {
    this.#headers = key === null ? {} : { "x-api-key": key };
  }

  whoAmI(): Promise<WhoAmI> {
    return this.#get("/whoami");
  }

  symbols(): Promise<Rules[]> {
    return this.#get("/v1/symbols");
  }

  /** The newest of those that are open, or over. */
  async orders(state: "open" | "closed", limit: number): Promise<Order[]> {
    return (await this.#get<{ orders: Order[] }>(`/v1/orders?state=${state}&limit=${limit}`)).orders;
  }

  order(id: string): Promise<OrderHistory> {
    return this.#get(`/v1/orders/${encodeURIComponent(id)}`);
  }

  /** The symbol of the newest execution, whoever's; null before the first. */
  async lastTraded(): Promise<string | null> {
    const { executions } = await this.#get<{ executions: { symbol: string }[] }>("/v1/executions?scope=public&limit=1");
    return executions[0]?.symbol ?? null;
  }

  async balances(account: string): Promise<Balance[]> {
    return (await this.#get<{ balances: Balance[] }>(`/v1/accounts/${encodeURIComponent(account)}`)).balances;
  }

  place(order: OrderBody): Promise<void> {
    return send("POST", "/v1/orders", this.#headers, order);
  }

  cancel(id: string): Promise<void> {
    return send("DELETE", `/v1/orders/${encodeURIComponent(id)}`, this.#headers);
  }

  #get<T>(path: string): Promise<T> {
    return get(path, this.#headers);
  }
}

/** The key lives as long as the tab: in nothing that outlives it, and in no address. */
export function storedKey(): string | null {
  try {
    return sessionStorage.getItem(KEY_NAME);
  } catch {
    return null;
  }
}

export function storeKey(key: string | null): void {
  try {
    if (key === null) sessionStorage.removeItem(KEY_NAME);
    else sessionStorage.setItem(KEY_NAME, key);
  } catch {
    // A browser that stores nothing forgets it with the view.
  }
}

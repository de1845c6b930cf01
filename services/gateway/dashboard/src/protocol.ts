/** The frames of `WS /v1/stream`, as far as the pages read them. Prices and sizes are decimal text, times RFC 3339 UTC. */

/** One run of numbered frames. `exchange` is `*` on `validated`, whose products are instrument ids. */
export interface Flow {
  channel: string;
  exchange: string;
  product: string;
}

export interface Hello {
  type: "hello";
  log_id: string;
  time: string;
  heartbeat_interval_s: number;
  limits: { requests_per_second_max: number };
}

export interface Snapshot extends Flow {
  type: "snapshot";
  sequence: number | null;
  time: string | null;
  data: unknown;
}

export interface Update extends Flow {
  type: "update";
  sequence: number;
  previous: number | null;
  time: string;
  /** Updates left out before this one because only the newest matters. */
  skipped?: number;
  data: unknown;
}

export interface StreamError {
  type: "error";
  id: string | number | null;
  code: string;
  detail: string;
}

export interface Goodbye {
  type: "goodbye";
  reason: string;
  reconnect_after_ms: number;
}

export interface Pong {
  type: "pong";
  id: string | number;
  time: string;
}

export interface Other {
  type: "ack" | "heartbeat";
}

export type Frame = Hello | Snapshot | Update | StreamError | Goodbye | Pong | Other;

export interface Request {
  op: "subscribe" | "unsubscribe" | "resume" | "ping";
  id: number;
  channel?: string;
  exchange?: string;
  products?: readonly string[];
  product?: string;
  sequence?: number;
  log_id?: string;
}

export interface Ticker {
  price: string;
  last_size: string;
  trade_id: string;
  side: Side;
}

export type Side = "BUY" | "SELL";

export interface Trade {
  trade_id: string;
  price: string;
  size: string;
  side: Side;
  origin: string;
}

/** A trade of a snapshot carries the place and the time that an update's frame has. */
export type PlacedTrade = Trade & { sequence: number; time: string };

export interface Candle {
  timestamp: string;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
  vwap: string;
  trade_count: number;
  closed: boolean;
  complete: boolean;
  revision: number;
}

export interface Verdict {
  trade_id: string;
  instrument_id: string;
  price: string | number;
  volume: string;
  timestamp_ns: string;
  status: "VALID" | "INVALID";
  reason?: string;
  vwap_20m: number;
}

/** Price and quantity. In a change the quantity 0 says that the level is gone. */
export type BookLevel = readonly [price: string, quantity: string];

/** The whole of a book, best prices first. `book_sequence` counts the symbol's level changes. */
export interface BookSnapshot {
  book_sequence: number;
  bids: readonly BookLevel[];
  asks: readonly BookLevel[];
  /** CRC-32 over the ten best levels of each side, in ticks and lots. */
  checksum: number;
  tick_size: string;
  lot_size: string;
}

/** What goes from the book at `book_previous` to the one at `book_sequence`. */
export interface BookChange {
  book_sequence: number;
  book_previous: number;
  bids: readonly BookLevel[];
  asks: readonly BookLevel[];
  checksum: number;
}

/** A trade of the order lab; whose it was is not told. */
export interface PublicExecution {
  execution_id: string;
  price: string;
  quantity: string;
  taker_side: "buy" | "sell";
}

/** Of a snapshot it carries the time that an update's frame has. */
export type PlacedExecution = PublicExecution & { time: string };

/** The order lab's name where products of exchanges are. */
export const LAB_EXCHANGE = "lab";

/** What the pages ask over REST, at the edge that they came from. */

import type { Candle } from "./protocol.ts";

export interface Markets {
  exchanges: string[];
  products: { exchange: string; product_id: string; venue: string; last_trade_time: string | null }[];
  resolutions: string[];
}

export interface Feed {
  exchange: string;
  product_id: string;
  venue: string;
  contiguous_number: number | null;
  last_trade_time: string | null;
  last_message_time: string | null;
  open_gaps: number;
  written_time: string;
}

export interface Lag {
  consumer_group: string;
  topic: string;
  partition: number;
  next_offset: number;
  end_offset: number | null;
  lag: number | null;
}

export interface Status {
  ready: boolean;
  dependencies: Record<string, { up: boolean; since: string; detail: string }>;
  feeds: Feed[];
  lag: Lag[];
  gaps: { status: string; gaps: number; missing: number }[];
}

export interface Gap {
  exchange: string;
  product_id: string;
  first: number;
  last: number;
  missing: number;
  status: string;
  reason: string;
  opened_time: string;
  closed_time: string | null;
}

const SEND_TIMEOUT_MS = 10_000;
const TOO_MANY = 429;

export interface FieldError {
  path: string;
  message: string;
}

/** The server answered, and did not do it. `fields` are those that it has something against. */
export class Refused extends Error {
  readonly status: number;
  readonly fields: readonly FieldError[];

  constructor(status: number, message: string, fields: readonly FieldError[] = []) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

/** Nobody knows whether it was done: no answer came, or that of somebody on the way. */
export class Unanswered extends Error {}

export const markets = (): Promise<Markets> => get("/markets");
export const status = (): Promise<Status> => get("/v1/status");
export const gaps = (limit: number): Promise<Gap[]> => get(`/v1/gaps?limit=${limit}`);

/** Newest first; `end` is not included. */
export function candles(exchange: string, product: string, resolution: string, limit: number, end?: string): Promise<Candle[]> {
  const query = new URLSearchParams({ exchange, limit: String(limit), ...(end === undefined ? {} : { end }) });
  return get(`/candles/${encodeURIComponent(product)}/${encodeURIComponent(resolution)}?${query}`);
}

/** Throws Refused with what the server said; a request over the rate limit is tried again when it asks for it. */
export async function get<T>(path: string, headers: Record<string, string> = {}): Promise<T> {
  for (;;) {
    const response = await fetch(path, { headers: { accept: "application/json", ...headers } });
    if (response.ok) return (await response.json()) as T;
    if (response.status !== TOO_MANY) throw await refusal(response);
    const wait_s = Number(response.headers.get("retry-after") ?? 1);
    await new Promise((resume) => setTimeout(resume, wait_s * 1_000));
  }
}

/** Something that changes something, once. Throws Refused where it was not done, Unanswered where nobody knows. */
export async function send(method: string, path: string, headers: Record<string, string>, body?: object): Promise<void> {
  const response = await fetch(path, {
    method,
    headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
  }).catch((error: Error) => {
    throw new Unanswered(error.name === "TimeoutError" ? `no answer within ${SEND_TIMEOUT_MS / 1_000} s` : "no answer");
  });
  if (response.status >= 500) throw new Unanswered((await refusal(response)).message);
  if (!response.ok) throw await refusal(response);
}

interface ErrorBody {
  detail?: string;
  error?: { message: string; fields?: FieldError[] };
}

async function refusal(response: Response): Promise<Refused> {
  const { status, statusText } = response;
  try {
    const { detail, error } = (await response.json()) as ErrorBody;
    const told = error?.message ?? detail ?? `${status} ${statusText}`;
    return new Refused(status, told, error?.fields ?? []);
  } catch {
    return new Refused(status, `${status} ${statusText}`);
  }
}

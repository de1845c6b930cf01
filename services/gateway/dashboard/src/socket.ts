/** A WebSocket that comes back: the part that `/v1/stream` and `/ws/marketdata` share. */

import { Backoff, mayComeBack } from "./backoff.ts";

/**
 * `connecting`: nothing came yet. `live`: it is up. `stale`: it was up, the last message came at `since`.
 * `refused`: the server does not want this client back. Times are milliseconds of this machine's clock.
 */
export type Connection =
  | { kind: "connecting"; retryAt: number | null }
  | { kind: "live" }
  | { kind: "stale"; since: number; retryAt: number | null }
  | { kind: "refused"; reason: string };

export interface SocketEvents {
  onOpen?(): void;
  onText(text: string): void;
  onDisconnected(): void;
  onConnection(connection: Connection): void;
}

const WATCH_INTERVAL_MS = 1_000;

export class ReconnectingSocket {
  readonly #url: string;
  readonly #events: SocketEvents;
  readonly #backoff = new Backoff();
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #openedAt = 0;
  #lastMessageAt: number | null = null;
  /** How long it may be silent before it is taken for dead; null: for ever. */
  silenceMaxMs: number | null = null;
  /** When the server asked to come back, in milliseconds from its goodbye. */
  reconnectHintMs: number | undefined;

  constructor(path: string, events: SocketEvents) {
    this.#url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.#events = events;
  }

  open(): void {
    this.#connect();
    this.#watch = setInterval(() => this.#checkSilence(), WATCH_INTERVAL_MS);
    addEventListener("online", this.retryNow);
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    removeEventListener("online", this.retryNow);
    this.#detach();
  }

  /** Whether it was sent. */
  send(text: string): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  retryNow = (): void => {
    if (this.#socket === null) this.#connect();
  };

  /** It works: called by the owner, who knows what a greeting is; where there is none, when it opened. */
  established(): void {
    this.#lastMessageAt = Date.now();
    this.#events.onConnection({ kind: "live" });
  }

  #connect(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#openedAt = Date.now();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onmessage = (event: MessageEvent<string>) => {
      this.#lastMessageAt = Date.now();
      this.#events.onText(event.data);
    };
    socket.onopen = () => this.#events.onOpen?.();
    socket.onclose = (event) => this.#lost(event.code, event.reason);
    this.#events.onConnection(this.#away(null));
  }

  #lost(code: number, reason: string): void {
    this.#detach();
    this.#backoff.lived(Date.now() - this.#openedAt);
    this.#events.onDisconnected();
    if (!mayComeBack(code)) {
      this.#events.onConnection({ kind: "refused", reason: reason || `close code ${code}` });
      return;
    }
    const wait_ms = this.#backoff.next(this.reconnectHintMs);
    this.reconnectHintMs = undefined;
    this.#timer = setTimeout(() => this.#connect(), wait_ms);
    this.#events.onConnection(this.#away(Date.now() + wait_ms));
  }

  #away(retryAt: number | null): Connection {
    const since = this.#lastMessageAt;
    return since === null ? { kind: "connecting", retryAt } : { kind: "stale", since, retryAt };
  }

  /** A network that is gone says nothing: silence is how it is noticed. */
  #checkSilence(): void {
    if (this.#socket === null || this.silenceMaxMs === null) return;
    const quiet_ms = Date.now() - Math.max(this.#openedAt, this.#lastMessageAt ?? 0);
    if (quiet_ms > this.silenceMaxMs) this.#lost(1006, "silence");
  }

  #detach(): void {
    if (this.#socket === null) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }
}

/** The page's one connection to `/v1/stream`. What frames mean is in `session.ts`, how it comes back in `socket.ts`. */

import type { Frame, Request } from "./protocol.ts";
import { Session, type Subscription } from "./session.ts";
import { type Connection, ReconnectingSocket } from "./socket.ts";
import { machineNow, Timing } from "./timing.ts";

const HEARTBEATS_MISSED_MAX = 2.5;
const HANDSHAKE_SILENCE_MAX_MS = 10_000;
const PING_INTERVAL_MS = 5_000;
/** Below what the server allows, since its seconds are not ours. */
const REQUEST_RATE_SHARE = 0.5;
const WINDOW_MS = 1_000;

export class Stream {
  connection: Connection = { kind: "connecting", retryAt: null };
  /** Updates delivered since the page was opened, and the holes that were filled. */
  updates = 0;
  readonly #session = new Session();
  readonly #socket: ReconnectingSocket;
  readonly #listeners = new Set<(connection: Connection) => void>();
  readonly #queue: Request[] = [];
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #requestsPerWindowMax = 1;
  #windowBegan = -Infinity;
  #sentInWindow = 0;
  readonly #timing = new Timing();

  constructor() {
    this.#socket = new ReconnectingSocket("/v1/stream", {
      onText: (text) => this.#receive(JSON.parse(text) as Frame),
      onDisconnected: () => this.#disconnected(),
      onConnection: (connection) => this.#became(connection),
    });
    this.#socket.silenceMaxMs = HANDSHAKE_SILENCE_MAX_MS;
  }

  open(): void {
    this.#socket.open();
    setInterval(() => this.#ping(), PING_INTERVAL_MS);
  }

  /** Returns what ends it. */
  follow(subscription: Subscription): () => void {
    this.#send(this.#session.follow(subscription));
    return () => this.#send(this.#session.unfollow(subscription));
  }

  /** Called at once, and at every change. Returns what ends it. */
  onConnection(listener: (connection: Connection) => void): () => void {
    this.#listeners.add(listener);
    listener(this.connection);
    return () => this.#listeners.delete(listener);
  }

  retryNow(): void {
    this.#socket.retryNow();
  }

  /** The server's time now, in milliseconds since the epoch, as far as this machine can tell. */
  now(): number {
    return machineNow() + this.#timing.offsetMs;
  }

  /** The server's clock minus this machine's, in milliseconds. */
  get clockOffsetMs(): number {
    return this.#timing.offsetMs;
  }

  /** The last round trip of a ping, in milliseconds; null before the first. */
  get roundTripMs(): number | null {
    return this.#timing.roundTripMs;
  }

  get holesFound(): number {
    return this.#session.holesFound;
  }

  #receive(frame: Frame): void {
    if (frame.type === "hello") {
      this.#timing.greeted(Date.parse(frame.time), machineNow());
      this.#socket.silenceMaxMs = frame.heartbeat_interval_s * 1_000 * HEARTBEATS_MISSED_MAX;
      this.#requestsPerWindowMax = Math.max(1, Math.floor(frame.limits.requests_per_second_max * REQUEST_RATE_SHARE));
      this.#socket.established();
    }
    if (frame.type === "goodbye") this.#socket.reconnectHintMs = frame.reconnect_after_ms;
    if (frame.type === "pong") this.#timing.answered(frame.id, Date.parse(frame.time), machineNow());
    if (frame.type === "update") this.updates += 1;
    const { send, deliver } = this.#session.receive(frame);
    this.#send(send);
    for (const each of deliver) each();
    if (frame.type === "hello") this.#ping();
  }

  #disconnected(): void {
    this.#session.disconnected();
    this.#queue.length = 0;
    this.#socket.silenceMaxMs = HANDSHAKE_SILENCE_MAX_MS;
  }

  #became(connection: Connection): void {
    this.connection = connection;
    for (const listener of this.#listeners) listener(connection);
  }

  #send(requests: Request[]): void {
    this.#queue.push(...requests);
    if (this.#drainTimer === undefined) this.#drain();
  }

  /** At once what the server allows in a second, the rest in the next ones. */
  #drain(): void {
    this.#drainTimer = undefined;
    const now = performance.now();
    if (now - this.#windowBegan >= WINDOW_MS) {
      this.#windowBegan = now;
      this.#sentInWindow = 0;
    }
    const room = this.#requestsPerWindowMax - this.#sentInWindow;
    for (const request of this.#queue.splice(0, Math.max(0, room))) {
      this.#socket.send(JSON.stringify(request));
      this.#sentInWindow += 1;
    }
    if (this.#queue.length > 0) this.#drainTimer = setTimeout(() => this.#drain(), this.#windowBegan + WINDOW_MS - now);
  }

  #ping(): void {
    if (this.connection.kind !== "live") return;
    const request = this.#session.ping();
    // Past the queue: what waits there would be measured too.
    this.#socket.send(JSON.stringify(request));
    this.#timing.pinged(request.id, machineNow());
  }
}

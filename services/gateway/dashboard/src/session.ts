/**
 * What a connection to `/v1/stream` means, without the connection: frames in, requests and deliveries out.
 *
 * It outlives connections. A subscription to every event goes on after the last sequence that was delivered, one to the
 * latest values begins again with a snapshot. A frame that does not follow the one before it is not delivered: what is
 * missing is asked for first.
 */

import type { Flow, Frame, Hello, Request, Snapshot, StreamError, Update } from "./protocol.ts";

export interface Subscription {
  channel: string;
  /** A name, or `*` for all. */
  exchange: string;
  /** Names, or `["*"]` for all. */
  products: readonly string[];
  /** `every`: nothing may be missing, so it resumes. `latest`: only the newest values matter. */
  wants: "every" | "latest";
  onSnapshot(frame: Snapshot): void;
  onUpdate(frame: Update): void;
  onError(frame: StreamError): void;
}

export interface Reaction {
  send: Request[];
  deliver: (() => void)[];
}

interface Place {
  flow: Flow;
  sequence: number | null;
}

export class Session {
  #subscriptions = new Set<Subscription>();
  #places = new Map<string, Place>();
  #asked = new Map<number, Subscription>();
  #holes = new Set<string>();
  #logId: string | null = null;
  #greeted = false;
  #nextId = 1;
  /** Holes that were found and asked for. */
  holesFound = 0;

  follow(subscription: Subscription): Request[] {
    this.#subscriptions.add(subscription);
    return this.#greeted ? [this.#request("subscribe", subscription)] : [];
  }

  unfollow(subscription: Subscription): Request[] {
    this.#subscriptions.delete(subscription);
    for (const [key, place] of this.#places) {
      if (this.#subscribersOf(place.flow).length === 0) this.#places.delete(key);
    }
    return this.#greeted ? [this.#request("unsubscribe", subscription)] : [];
  }

  /** The connection is gone. What was delivered is remembered for the next one. */
  disconnected(): void {
    this.#greeted = false;
    this.#asked.clear();
    this.#holes.clear();
  }

  ping(): Request {
    return { op: "ping", id: this.#nextId++ };
  }

  receive(frame: Frame): Reaction {
    switch (frame.type) {
      case "hello":
        return { send: this.#greet(frame), deliver: [] };
      case "snapshot":
        return { send: [], deliver: this.#snapshot(frame) };
      case "update":
        return this.#update(frame);
      case "error":
        return { send: [], deliver: this.#error(frame) };
      default:
        return { send: [], deliver: [] };
    }
  }

  #greet(hello: Hello): Request[] {
    if (hello.log_id !== this.#logId) this.#places.clear();
    this.#logId = hello.log_id;
    this.#greeted = true;
    const everyone = [...this.#subscriptions];
    this.#forgetLatest();
    const resumes = [...this.#places.values()].map((place) => this.#resume(place));
    return [...resumes, ...everyone.filter((each) => !this.#resumed(each)).map((each) => this.#request("subscribe", each))];
  }

  /** Whether resuming has subscribed to all of it already: never so of `*`, where more may have come. */
  #resumed(subscription: Subscription): boolean {
    const { channel, exchange, products } = subscription;
    return products.every((product) => this.#places.has(keyOf({ channel, exchange, product })));
  }

  #forgetLatest(): void {
    for (const [key, place] of this.#places) {
      const events = this.#subscribersOf(place.flow).some((each) => each.wants === "every");
      if (!events || place.sequence === null) this.#places.delete(key);
    }
  }

  #snapshot(frame: Snapshot): (() => void)[] {
    const key = keyOf(frame);
    const subscribers = this.#subscribersOf(frame);
    if (subscribers.length === 0) return [];
    this.#places.set(key, { flow: flowOf(frame), sequence: frame.sequence });
    this.#holes.delete(key);
    return subscribers.map((each) => () => each.onSnapshot(frame));
  }

  #update(frame: Update): Reaction {
    const key = keyOf(frame);
    const subscribers = this.#subscribersOf(frame);
    const place = this.#places.get(key);
    const nothing: Reaction = { send: [], deliver: [] };
    if (subscribers.length === 0) return nothing;
    // The end of a subscription that was given up and taken up again: the snapshot is still to come.
    if (place === undefined && !subscribers.some((each) => each.products[0] === "*")) return nothing;
    const last = place?.sequence ?? null;
    if (last !== null && frame.sequence <= last) return nothing;
    if (subscribers.some((each) => each.wants === "every") && followsHole(frame, last)) return this.#hole(key, place);
    this.#places.set(key, { flow: flowOf(frame), sequence: frame.sequence });
    this.#holes.delete(key);
    return { send: [], deliver: subscribers.map((each) => () => each.onUpdate(frame)) };
  }

  #hole(key: string, place: Place | undefined): Reaction {
    if (place === undefined || this.#holes.has(key)) return { send: [], deliver: [] };
    this.#holes.add(key);
    this.holesFound += 1;
    return { send: [this.#resume(place)], deliver: [] };
  }

  #error(frame: StreamError): (() => void)[] {
    const subscription = typeof frame.id === "number" ? this.#asked.get(frame.id) : undefined;
    return subscription === undefined ? [] : [() => subscription.onError(frame)];
  }

  #subscribersOf(flow: Flow): Subscription[] {
    return [...this.#subscriptions].filter((each) => covers(each, flow));
  }

  #request(op: "subscribe" | "unsubscribe", subscription: Subscription): Request {
    const { channel, exchange, products } = subscription;
    const id = this.#nextId++;
    if (op === "subscribe") this.#asked.set(id, subscription);
    return { op, id, channel, exchange, products };
  }

  #resume({ flow, sequence }: Place): Request {
    return { op: "resume", id: this.#nextId++, ...flow, sequence: sequence!, log_id: this.#logId! };
  }
}

function keyOf({ channel, exchange, product }: Flow): string {
  return `${channel}\n${exchange}\n${product}`;
}

function flowOf({ channel, exchange, product }: Flow): Flow {
  return { channel, exchange, product };
}

function covers(subscription: Subscription, flow: Flow): boolean {
  const { channel, exchange, products } = subscription;
  return (
    channel === flow.channel &&
    (exchange === "*" || exchange === flow.exchange) &&
    (products[0] === "*" || products.includes(flow.product))
  );
}

function followsHole(frame: Update, last: number | null): boolean {
  return last !== null && frame.previous !== null && !frame.skipped && frame.previous > last;
}

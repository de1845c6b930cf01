import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame, Hello, Request, Snapshot, Update } from "../src/protocol.ts";
import { Session, type Subscription } from "../src/session.ts";

const FLOW = { channel: "trades", exchange: "demo", product: "BTC-USD" };

const hello = (log_id = "log-1"): Hello => ({
  type: "hello",
  log_id,
  time: "2026-01-31T12:00:00Z",
  heartbeat_interval_s: 5,
  limits: { requests_per_second_max: 50 },
});
const snapshot = (sequence: number | null, flow = FLOW): Snapshot => ({ type: "snapshot", ...flow, sequence, time: null, data: null });
const update = (sequence: number, previous: number | null, more: Partial<Update> = {}): Update => ({
  type: "update",
  ...FLOW,
  sequence,
  previous,
  time: "2026-01-31T12:00:00Z",
  data: null,
  ...more,
});

class Page {
  readonly session = new Session();
  readonly seen: (number | null | string)[] = [];

  subscription(wants: "every" | "latest", products: string[] = ["BTC-USD"], exchange = "demo"): Subscription {
    return {
      channel: "trades",
      exchange,
      products,
      wants,
      onSnapshot: (frame) => this.seen.push(`snapshot ${frame.sequence}`),
      onUpdate: (frame) => this.seen.push(frame.sequence),
      onError: (frame) => this.seen.push(frame.code),
    };
  }

  /** Returns what was sent because of it. */
  receive(...frames: Frame[]): Request[] {
    return frames.flatMap((frame) => {
      const { send, deliver } = this.session.receive(frame);
      for (const each of deliver) each();
      return send;
    });
  }
}

test("subscribes once it is greeted, and at once from then on", () => {
  const page = new Page();
  assert.deepEqual(page.session.follow(page.subscription("every")), []);
  assert.deepEqual(page.receive(hello()), [{ op: "subscribe", id: 1, channel: "trades", exchange: "demo", products: ["BTC-USD"] }]);
  assert.equal(page.session.follow(page.subscription("latest", ["ETH-USD"]))[0]?.op, "subscribe");
});

test("delivers the snapshot and each update once", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.receive(hello(), snapshot(10), update(12, 10), update(12, 10), update(11, 10), update(15, 12));
  assert.deepEqual(page.seen, ["snapshot 10", 12, 15]);
});

test("after another connection every event is resumed, and the latest values begin anew", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.session.follow({ ...page.subscription("latest"), channel: "ticker" });
  page.receive(hello(), snapshot(10), update(12, 10), snapshot(12, { ...FLOW, channel: "ticker" }));
  page.session.disconnected();
  const [resume, subscribe, ...more] = page.receive(hello());
  assert.deepEqual(more, []);
  assert.deepEqual(resume, { op: "resume", id: resume?.id, ...FLOW, sequence: 12, log_id: "log-1" });
  assert.equal(subscribe?.op, "subscribe");
  assert.equal(subscribe?.channel, "ticker");
  page.receive(update(13, 12), update(14, 13));
  assert.deepEqual(page.seen, ["snapshot 10", 12, "snapshot 12", 13, 14]);
});

test("of all products it resumes those it knows and subscribes to those it does not", () => {
  const page = new Page();
  page.session.follow(page.subscription("every", ["*"], "*"));
  page.receive(hello(), snapshot(10), update(7, null, { product: "NEW-USD" }));
  page.session.disconnected();
  const sent = page.receive(hello());
  assert.deepEqual(
    sent.map(({ op, product, sequence }) => [op, product, sequence]),
    [["resume", "BTC-USD", 10], ["resume", "NEW-USD", 7], ["subscribe", undefined, undefined]],
  );
});

test("another log has other sequences: it begins anew", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.receive(hello(), snapshot(1_000));
  page.session.disconnected();
  assert.deepEqual(page.receive(hello("log-2")).map(({ op }) => op), ["subscribe"]);
  page.receive(snapshot(3), update(4, 3));
  assert.deepEqual(page.seen, ["snapshot 1000", "snapshot 3", 4]);
});

test("a hole is asked for once, and nothing after it is delivered before it is filled", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.receive(hello(), snapshot(10));
  const sent = page.receive(update(13, 12), update(14, 13));
  assert.deepEqual(sent.map(({ op, sequence }) => [op, sequence]), [["resume", 10]]);
  page.receive(update(11, 10), update(12, 11), update(13, 12), update(14, 13));
  assert.deepEqual(page.seen, ["snapshot 10", 11, 12, 13, 14]);
  assert.equal(page.session.holesFound, 1);
});

test("what was skipped on purpose is no hole, nor is anything where only the latest matters", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.receive(hello(), snapshot(10), update(20, 19, { skipped: 5 }));
  const latest = new Page();
  latest.session.follow(latest.subscription("latest"));
  latest.receive(hello(), snapshot(10), update(20, 19));
  assert.deepEqual([...page.seen, ...latest.seen], ["snapshot 10", 20, "snapshot 10", 20]);
});

test("too old: the error reaches nobody who did not ask, the snapshot begins anew", () => {
  const page = new Page();
  page.session.follow(page.subscription("every"));
  page.receive(hello(), snapshot(10));
  page.session.disconnected();
  const [resume] = page.receive(hello());
  page.receive({ type: "error", id: resume!.id, code: "too_old", detail: "" }, snapshot(500), update(501, 500));
  assert.deepEqual(page.seen, ["snapshot 10", "snapshot 500", 501]);
});

test("an error reaches the one who asked", () => {
  const page = new Page();
  page.session.follow(page.subscription("latest"));
  const [request] = page.receive(hello());
  page.receive({ type: "error", id: request!.id, code: "unknown_product", detail: "" }, { type: "error", id: null, code: "not_json", detail: "" });
  assert.deepEqual(page.seen, ["unknown_product"]);
});

test("what was given up is not delivered, and taken up again it begins with a snapshot", () => {
  const page = new Page();
  const subscription = page.subscription("every");
  page.receive(hello());
  page.session.follow(subscription);
  page.receive(snapshot(10));
  assert.deepEqual(page.session.unfollow(subscription).map(({ op }) => op), ["unsubscribe"]);
  page.session.follow(subscription);
  page.receive(update(11, 10), snapshot(11), update(12, 11));
  assert.deepEqual(page.seen, ["snapshot 10", "snapshot 11", 12]);
});

// node fastify.js each|coalescing PORT SOCKET WINDOW_MS
//
// A Fastify server that sends each trade that it reads as a line from SOCKET to every client that subscribed.
// `each` is the obvious way: one send a client and trade, and the trade made into text for each.
// `coalescing` does what the gateway does: a trade is made into a frame once, and every WINDOW_MS each client is
// written all frames since in one piece.
import { createInterface } from "node:readline";
import { connect } from "node:net";
import Fastify from "fastify";
import websocket from "@fastify/websocket";
import WebSocket from "ws";

const [mode, port, source, windowMs] = process.argv.slice(2);
const clients = new Set();
let sequence = null;

const app = Fastify();
await app.register(websocket, { options: { perMessageDeflate: false } });
app.get("/v1/stream", { websocket: true }, (socket) => {
  socket.on("message", (text) => {
    const { id, op, channel, exchange, products } = JSON.parse(text);
    socket.send(JSON.stringify({ type: "ack", id, op, channel, exchange, products }));
    socket.send(JSON.stringify({ type: "snapshot", channel, exchange, product: products[0], sequence, data: null }));
    clients.add(socket);
  });
  socket.on("close", () => clients.delete(socket));
});

function update(trade) {
  const previous = sequence;
  sequence = sequence === null ? 0 : sequence + 1;
  return {
    type: "update",
    channel: "trades",
    exchange: trade.exchange,
    product: trade.product_id,
    sequence,
    previous,
    time: new Date(trade.time / 1e6).toISOString(),
    data: {
      trade_id: trade.trade_id,
      price: trade.price,
      size: trade.size,
      side: trade.side,
      origin: trade.origin,
    },
  };
}

function sendEach(trade) {
  const message = update(trade);
  for (const socket of clients) socket.send(JSON.stringify(message));
}

const waiting = [];

function flush() {
  const piece = Buffer.concat(waiting);
  waiting.length = 0;
  for (const socket of clients) socket._socket.write(piece);
}

function coalesce(trade) {
  const text = Buffer.from(JSON.stringify(update(trade)));
  const options = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };
  if (waiting.push(...WebSocket.Sender.frame(text, options)) === 2) setTimeout(flush, Number(windowMs));
}

const deliver = { each: sendEach, coalescing: coalesce }[mode];
await app.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
createInterface({ input: connect(source) }).on("line", (line) => deliver(JSON.parse(line)));
console.log("ready");

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { ChatClient } from "../../../assets/client/client.js";
import { ScriptedServer, WebSocket, answerTo, event, friendly, memoryStorage, session, state } from "./scripted_server.mjs";

const QUESTION = "Which languages does Mara speak?";
const ANSWER = "Swedish and German.";

let server;
let clients;

beforeEach(async () => {
  clients = [];
  server = await new ScriptedServer().start();
});

afterEach(async () => {
  for (const client of clients) client.close();
  await server.kill();
});

function newClient(options = {}) {
  const client = new ChatClient({ server: server.url, storage: memoryStorage(), WebSocket, ...options });
  clients.push(client);
  return client;
}

async function askOnce(client) {
  const parts = [];
  const answer = await client.askAndWait(QUESTION, { onDelta: (text) => parts.push(text), maxWaitMs: 20_000 });
  assert.equal(answer.text, ANSWER);
  assert.equal(parts.join(""), ANSWER);
  return client.transport;
}

test("a WebSocket is used where the network allows it", async () => {
  assert.equal(await askOnce(newClient()), "websocket");
  assert.deepEqual(server.log, ["websocket"]);
});

test("a refused WebSocket is replaced by an event stream at once, also on the next visit", async () => {
  server.sockets = "refused";
  const storage = memoryStorage();
  const begun = Date.now();
  assert.equal(await askOnce(newClient({ storage })), "events");
  assert.ok(Date.now() - begun < 2_000);
  assert.deepEqual(server.log, ["websocket", "events", "post"]);

  assert.equal(await askOnce(newClient({ storage })), "events");
  assert.deepEqual(server.log.slice(3), ["events", "post"]);
});

test("a WebSocket that does not open is replaced within five seconds", async () => {
  server.sockets = "silent";
  const begun = Date.now();
  assert.equal(await askOnce(newClient()), "events");
  assert.ok(Date.now() - begun < 5_000, `${Date.now() - begun} ms`);
});

test("a proxy that collects whole responses is passed with single requests", async () => {
  server.sockets = "refused";
  server.streams = "buffered";
  const storage = memoryStorage();
  const client = newClient({ storage });
  assert.equal(await askOnce(client), "request");
  assert.equal(client.state, "open");
  assert.deepEqual(server.connections.size, 0, "a connection is left");

  server.log = [];
  assert.equal(await askOnce(newClient({ storage })), "request");
  assert.ok(!server.log.includes("events") && !server.log.includes("websocket"), server.log.join());
});

test("requests that reach another server are passed with single requests", async () => {
  server.sockets = "refused";
  server.streams = "elsewhere";
  assert.equal(await askOnce(newClient()), "request");
});

test("without WebSockets in the runtime an event stream is used", async () => {
  const hadSocket = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  try {
    assert.equal(await askOnce(newClient({ WebSocket: undefined })), "events");
  } finally {
    globalThis.WebSocket = hadSocket;
  }
});

test("a server that is down changes nothing about the choice", async () => {
  const storage = memoryStorage();
  const client = newClient({ storage });
  await server.kill();
  client.connect();
  await state(client, "waiting");
  await state(client, "connecting");
  await state(client, "waiting");
  assert.deepEqual([...storage.map.keys()], []);

  const restarted = await new ScriptedServer().start(server.port);
  server = restarted;
  client.connect();
  assert.equal(await askOnce(client), "websocket");
});

test("a WebSocket is tried again later, but not during an answer", async () => {
  server.sockets = "refused";
  const storage = memoryStorage();
  const client = newClient({ storage });
  assert.equal(await askOnce(client), "events");
  const [key] = [...storage.map.keys()].filter((name) => name.endsWith(":transport"));
  const { name, until } = JSON.parse(storage.map.get(key));
  assert.equal(name, "events");
  assert.ok(until > Date.now() + 50 * 60_000 && until < Date.now() + 70 * 60_000);

  // On another visit, the hour is nearly over.
  client.close();
  server.sockets = "open";
  storage.setItem(key, JSON.stringify({ name, until: Date.now() + 300 }));
  let finish;
  server.onFrame = (connection, frame) => {
    if (frame.type !== "question") return friendly(connection, frame);
    const frames = answerTo(frame);
    for (const reply of frames.slice(0, 2)) connection.send(reply);
    finish = () => frames.slice(2).forEach((reply) => connection.send(reply));
  };
  const later = newClient({ storage });
  later.connect();
  await state(later, "open");
  const turn = later.ask(QUESTION);
  await event(later, "turn", ({ change }) => change === "delta");
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(later.transport, "events");
  finish();
  await event(later, "turn", ({ change }) => change === "done");
  assert.equal(turn.answer, ANSWER);
  await event(later, "state", () => later.transport === "websocket" && later.state === "open");
  assert.equal(storage.map.has(key), false);
});

test("a fallback after a working WebSocket is not remembered for the next visit", async () => {
  const storage = memoryStorage();
  const client = newClient({ storage });
  assert.equal(await askOnce(client), "websocket");
  server.sockets = "refused";
  for (const connection of server.connections) connection.close(1011);
  await event(client, "state", () => client.transport === "events" && client.state === "open");
  assert.ok(![...storage.map.keys()].some((key) => key.endsWith(":transport")));
});

test("a stopped answer ends over every transport", async () => {
  for (const transport of ["websocket", "events", "request"]) {
    const received = [];
    server.onFrame = (connection, frame) => {
      received.push(frame.type);
      if (frame.type === "question") {
        for (const reply of answerTo(frame).slice(0, 2)) connection.send(reply);
        connection.stays = true;
      } else if (frame.type === "cancel") {
        connection.send({ ...answerTo(frame).at(-1), status: "cancelled" });
        if (connection.kind === "request") connection.close(1000);
      } else friendly(connection, frame);
    };
    const client = newClient({ transports: [transport] });
    const controller = new AbortController();
    const asking = client.askAndWait(QUESTION, { signal: controller.signal, onDelta: () => controller.abort() });
    await assert.rejects(asking, { name: "AbortError" });
    if (client.busy) await event(client, "turn", ({ change }) => change === "done");
    assert.equal(client.turns[0].status, "cancelled", transport);
    assert.ok(received.includes("cancel"), transport);
  }
});

test("an answer that breaks off continues at the next word over every transport", async () => {
  for (const transport of ["websocket", "events", "request"]) {
    let attempts = 0;
    server.onFrame = (connection, frame) => {
      if (frame.type === "question") {
        attempts += 1;
        for (const reply of answerTo(frame).slice(0, 2)) connection.send(reply);
        connection.stays = true;
        setTimeout(() => connection.drop(), 50);
      } else if (frame.type === "resume" && frame.cursor?.seq === 1) {
        connection.send(session({ resumed: true, recovered: true }));
        for (const reply of answerTo(frame).slice(2)) connection.send({ ...reply, replay: true });
      } else friendly(connection, frame);
    };
    assert.equal(await askOnce(newClient({ transports: [transport] })), transport);
    assert.equal(attempts, 1, transport);
  }
});

test("a response that is not from the chat server is a failed connection", async () => {
  server.sockets = "refused";
  server.streams = "rejected";
  for (const rejection of [
    { status: 502, body: "<h1>Bad Gateway</h1>" },
    { status: 200, headers: { "content-type": "text/html" }, body: "<h1>Sign in</h1>" },
    { status: 404, body: "" },
  ]) {
    server.rejection = rejection;
    const client = newClient();
    client.connect();
    await state(client, "waiting");
    assert.equal(client.closeCode, 1006);
  }
});

test("the limits of the server delay or end the connection", async () => {
  server.streams = "rejected";
  const json = (status, code, retryable, headers = {}) => ({
    status,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ code, message: "No.", retryable }),
  });
  for (const transport of ["events", "request"]) {
    server.rejection = json(429, "RATE_LIMIT_EXCEEDED", true, { "retry-after": "5" });
    const limited = newClient({ transports: [transport] });
    limited.connect();
    await state(limited, "waiting");
    assert.ok(Math.abs(limited.retryAt - Date.now() - 5_000) < 1_000, String(limited.retryAt - Date.now()));

    server.rejection = json(403, "NOT_AUTHORIZED", false);
    const forbidden = newClient({ transports: [transport] });
    await assert.rejects(forbidden.askAndWait(QUESTION), { name: "ChatError", code: "NOT_AUTHORIZED", retryable: false });
    assert.equal(forbidden.state, "closed");
  }
});

test("the address of the WebSocket also names the server", async () => {
  server.sockets = "refused";
  const url = `${server.url.replace("http", "ws")}ws/chat`;
  assert.equal(await askOnce(newClient({ server: undefined, url })), "events");
});

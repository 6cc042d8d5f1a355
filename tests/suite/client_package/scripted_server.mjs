/** A server in the test process that does what a test tells it, over every transport. */

import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.TEST_NODE_MODULES}/`);
export const { WebSocket, WebSocketServer } = require("ws");

export const TURN = "01a22258-0000-7000-8000-00000000000";
const ADDRESS = "127.0.0.1";

/** Returns the frame that starts a session. */
export function session(fields = {}) {
  return {
    type: "session",
    session_id: "01a22258-cb18-765c-b354-fbd876efff83",
    resume_token: "ab".repeat(32),
    expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    resumed: false,
    recovered: false,
    limits: { max_question_chars: 2000, requests_per_minute: 20, remaining: 20 },
    resume: { name: "Mara" },
    suggestions: [],
    mode: "live",
    more: false,
    request_id: "r",
    ...fields,
  };
}

/** Returns the frames of an answer. */
export function answerTo(frame, words = ["Swedish ", "and German."], turn_id = `${TURN}1`) {
  return [
    { type: "accepted", id: frame.id, turn_id, remaining: 19, durable: true, duplicate: false },
    ...words.map((text, index) => ({ type: "delta", turn_id, seq: index + 1, text })),
    { type: "done", turn_id, status: "complete", mode: "live", usage: {}, citations: [], durable: true, remaining: 19 },
  ];
}

/** Answers every question, and resumes every session. */
export function friendly(connection, frame) {
  if (frame.type === "start") connection.send(session());
  if (frame.type === "resume") connection.send(session({ resumed: true, recovered: Boolean(frame.cursor) }));
  if (frame.type === "question") for (const reply of answerTo(frame)) connection.send(reply);
  if (frame.type === "ping") connection.send({ type: "pong" });
}

export class ScriptedServer {
  /** Called with each connection and each of its frames. */
  onFrame = friendly;
  /** How the network treats WebSockets: `open`, `refused` or `silent`. */
  sockets = "open";
  /** How it treats event streams: `open`, `buffered`, `elsewhere` or `rejected`. */
  streams = "open";
  /** The response to a rejected stream. */
  rejection = { status: 503, body: "" };
  /** One line for each connection and request. */
  log = [];
  connections = new Set();

  async start(port = 0) {
    this.http = createServer((request, response) => this.#onRequest(request, response));
    this.http.on("upgrade", (request, socket, head) => {
      this.log.push("websocket");
      socket.on("error", () => {});
      if (this.sockets === "refused") return socket.destroy();
      if (this.sockets === "silent") return this.connections.add({ drop: () => socket.destroy() });
      this.webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#onSocket(webSocket));
    });
    this.webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => "resume-chat.v1" });
    await new Promise((resolve) => this.http.listen(port, ADDRESS, resolve));
    this.port = this.http.address().port;
    this.url = `http://${ADDRESS}:${this.port}/`;
    return this;
  }

  /** Ends every connection without a close frame, like SIGKILL. */
  async kill() {
    this.http.closeAllConnections();
    for (const connection of this.connections) connection.drop();
    await new Promise((resolve) => this.http.close(resolve));
  }

  #onSocket(webSocket) {
    const connection = {
      kind: "websocket",
      send: (frame) => webSocket.send(JSON.stringify(frame)),
      close: (code) => webSocket.close(code),
      drop: () => webSocket.terminate(),
    };
    this.connections.add(connection);
    webSocket.on("error", () => {});
    webSocket.on("close", () => this.connections.delete(connection));
    webSocket.on("message", (data) => this.onFrame(connection, JSON.parse(data)));
  }

  async #onRequest(request, response) {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { pathname, searchParams } = new URL(request.url, this.url);
    const frames = body.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const [, id] = /^\/sse\/chat\/(.+)$/.exec(pathname) ?? [];
    const isOneShot = searchParams.get("close") === "done";
    this.log.push(id ? "post" : isOneShot ? "request" : "events");
    if (this.streams === "rejected") return response.writeHead(this.rejection.status, this.rejection.headers).end(this.rejection.body);
    if (id) return this.#onFurtherFrames(id, frames, response);
    const isBuffered = this.streams === "buffered";
    const connection = {
      kind: isOneShot ? "request" : "events",
      id: Math.random().toString(36).slice(2),
      text: "",
      write: (text) => (isBuffered ? (connection.text += text) : response.write(text)),
      send: (frame) => connection.write(`data: ${JSON.stringify(frame)}\n\n`),
      close: (code) => {
        connection.write(`event: close\ndata: {"type":"close","code":${code},"reason":""}\n\n`);
        response.end(connection.text);
      },
      drop: () => response.destroy(),
    };
    if (!isBuffered) response.writeHead(200, { "content-type": "text/event-stream" });
    else response.setHeader("content-type", "text/event-stream");
    this.connections.add(connection);
    response.on("close", () => this.connections.delete(connection));
    connection.write(`: hello\n\nevent: connected\ndata: {"type":"connected","connection_id":"${connection.id}"}\n\n`);
    for (const frame of frames) await this.onFrame(connection, frame);
    if (isOneShot && !response.writableEnded && !connection.stays) connection.close(1000);
  }

  #onFurtherFrames(id, frames, response) {
    const connection = [...this.connections].find((other) => other.id === id);
    if (!connection || this.streams === "elsewhere") {
      const error = { code: "CONNECTION_NOT_FOUND", message: "Not here.", retryable: false };
      return response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify(error));
    }
    response.writeHead(202).end();
    for (const frame of frames) this.onFrame(connection, frame);
  }
}

/** A storage like that of a browser. */
export function memoryStorage(entries = {}) {
  const map = new Map(Object.entries(entries));
  return {
    map,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
  };
}

/** Waits for an event of a client for which `matches` is true. */
export function event(client, type, matches = () => true, timeoutMs = 20_000) {
  return new Promise((resolve, reject) => {
    const stop = client.on(type, (detail) => {
      if (!matches(detail)) return;
      clearTimeout(timer);
      stop();
      resolve(detail);
    });
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`no ${type} event in time`));
    }, timeoutMs);
  });
}

/** Waits until a client is in a state. */
export function state(client, wanted, timeoutMs) {
  return client.state === wanted ? Promise.resolve() : event(client, "state", () => client.state === wanted, timeoutMs);
}

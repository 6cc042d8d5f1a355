/** The transport that every network should allow: a WebSocket. */

import { parseFrame } from "./transport.js";

/** @typedef {import("./transport.js").TransportHandlers} TransportHandlers */
/** @typedef {import("./transport.js").TransportOptions} TransportOptions */

const SUBPROTOCOL = "resume-chat.v1";
const OPEN = 1;

export class WebSocketTransport {
  name = /** @type {const} */ ("websocket");
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {TransportHandlers} */ #handlers;
  /** @type {ReturnType<typeof setTimeout>} */ #timer;

  /** @param {TransportOptions} options @param {TransportHandlers} handlers */
  constructor({ url, timeoutMs, WebSocket }, handlers) {
    this.#handlers = handlers;
    this.#timer = setTimeout(() => this.#end(1006, "silent"), timeoutMs);
    let cause = /** @type {import("./transport.js").CloseCause | undefined} */ ("blocked");
    try {
      const socket = new WebSocket(url, SUBPROTOCOL);
      this.#socket = socket;
      socket.onopen = () => {
        clearTimeout(this.#timer);
        cause = undefined;
        if (this.#socket) handlers.onOpen();
      };
      socket.onmessage = (event) => this.#socket && handlers.onFrame(parseFrame(String(event.data)));
      socket.onclose = (event) => this.#end(event.code, cause);
      // `close` follows.
      socket.onerror = () => {};
    } catch {
      // A policy of the page forbids the address.
      setTimeout(() => this.#end(1006, "blocked"));
    }
  }

  /** @param {object} frame */
  send(frame) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  close() {
    this.#handlers = ENDED;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** @param {number} code @param {import("./transport.js").CloseCause} [cause] */
  #end(code, cause) {
    const { onClose } = this.#handlers;
    this.close();
    onClose(code, cause);
  }
}

/** The handlers of a transport that has ended. */
const ENDED = { onOpen() {}, onFrame() {}, onAlive() {}, onRejected() {}, onClose() {} };

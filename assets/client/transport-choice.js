/** Chooses a transport: a WebSocket if the network allows it, and otherwise what works. */

import { StoredValue } from "./stored-value.js";
import { WebSocketTransport } from "./websocket.js";

/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {import("./transport.js").TransportHandlers} TransportHandlers */
/** @typedef {import("./transport.js").TransportName} TransportName */
/** @typedef {import("./transport.js").TransportOptions} TransportOptions */

/** A network that allows WebSockets opens one within this time. */
const SOCKET_OPEN_MS = 4_000;
/** A proxy that passes bytes on as they arrive passes the first ones on within this time. */
const FIRST_BYTES_MS = 5_000;
/** The time for the last transport of the list. A mobile network can take several seconds. */
const LAST_OPEN_MS = 15_000;
/** Proxies allow a response about a minute. */
const REQUEST_MS = 60_000;
/** Networks change, so a WebSocket is tried again after this time. */
const SOCKET_RETRY_MS = 60 * 60_000;
/** The same if a WebSocket worked before: the server may only have restarted meanwhile. */
const SOCKET_RETURN_MS = 60_000;

/** @typedef {new (options: TransportOptions, handlers: TransportHandlers) => Transport} TransportClass */

/** @type {[TransportName, () => Promise<TransportClass>][]} Loaded only where they are needed. */
const FALLBACKS = [
  ["events", () => import("./event-stream.js").then((module) => module.EventStreamTransport)],
  ["request", () => import("./requests.js").then((module) => module.RequestTransport)],
];

/**
 * Opens a transport whose module has to be loaded first.
 * @param {TransportName} name @param {() => Promise<TransportClass>} load
 * @param {TransportOptions} options @param {TransportHandlers} handlers
 * @returns {Transport}
 */
function openLater(name, load, options, handlers) {
  /** @type {Transport | null} */ let transport = null;
  let isClosed = false;
  const onLoad = (/** @type {TransportClass} */ Transport) => {
    if (!isClosed) transport = new Transport(options, handlers);
  };
  load().then(onLoad, () => isClosed || handlers.onClose(1006, "blocked"));
  return {
    name,
    send: (frame) => transport?.send(frame) ?? false,
    close: () => {
      isClosed = true;
      transport?.close();
    },
  };
}

/**
 * @typedef {object} Addresses
 * @property {string} socket  of the WebSocket
 * @property {string | null} events  of the event stream; null if it is not known
 *
 * @typedef {object} ChoiceOptions
 * @property {TransportName[]} [transports]
 * @property {typeof globalThis.fetch} [fetch]
 * @property {typeof globalThis.WebSocket} [WebSocket]
 * @property {Storage | null} [storage]
 * @property {string} storageKey
 */

/** Returns the addresses of a server. @param {{server?: string | URL, url?: string | URL}} options */
export function addressesOf({ server, url }) {
  const page = globalThis.document?.baseURI;
  if (url) {
    const socket = new URL(url, page);
    const events = new URL(socket);
    events.protocol = socket.protocol.replace("ws", "http");
    events.pathname = socket.pathname.replace(/ws\/chat$/, "sse/chat");
    return { socket: socket.href, events: events.pathname === socket.pathname ? null : events.href };
  }
  const base = new URL(server ?? "", page);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const socket = new URL("ws/chat", base);
  socket.protocol = socket.protocol.replace("http", "ws");
  return { socket: socket.href, events: new URL("sse/chat", base).href };
}

export class TransportChoice {
  /** @type {{name: TransportName, open: (timeoutMs: number, handlers: TransportHandlers) => Transport}[]} */
  #candidates = [];
  #current = 0;
  /** @type {StoredValue} The fallback that worked, and when a WebSocket is tried again. */ #memory;
  #socketWorked = false;
  /** When a WebSocket is tried again. */
  #socketAfter = 0;

  /** @param {Addresses} addresses @param {ChoiceOptions} options */
  constructor({ socket, events }, options) {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    // Browsers require `fetch` to be called on the global object.
    const fetch = options.fetch ?? ((address, init) => globalThis.fetch(address, init));
    this.#memory = new StoredValue(`${options.storageKey}:transport`, options.storage);
    const common = { fetch, WebSocket };
    if (WebSocket) {
      this.#add("websocket", (timeoutMs, handlers) => new WebSocketTransport({ ...common, url: socket, timeoutMs }, handlers));
    }
    for (const [name, load] of events ? FALLBACKS : []) {
      this.#add(name, (timeoutMs, handlers) => openLater(name, load, { ...common, url: events ?? "", timeoutMs }, handlers));
    }
    const { transports } = options;
    if (transports) this.#candidates = this.#candidates.filter(({ name }) => transports.includes(name));
    if (this.#candidates.length === 0) throw new TypeError("None of the transports is available.");
  }

  /** @param {TransportName} name @param {(timeoutMs: number, handlers: TransportHandlers) => Transport} open */
  #add(name, open) {
    this.#candidates.push({ name, open });
  }

  get name() {
    return this.#candidates[this.#current].name;
  }

  /** Selects the transport for the next attempt: a WebSocket, or the fallback that worked last. */
  begin() {
    const { name, until } = this.#memory.read() ?? {};
    if (name && until > Date.now()) {
      this.#current = Math.max(0, this.#candidates.findIndex((candidate) => candidate.name === name));
      this.#socketAfter = until;
    } else if (this.#socketAfter <= Date.now()) {
      this.#current = 0;
    }
  }

  /** Opens the selected transport. @param {TransportHandlers} handlers */
  open(handlers) {
    const isLast = this.#current === this.#candidates.length - 1;
    const timeouts = { websocket: SOCKET_OPEN_MS, events: FIRST_BYTES_MS, request: REQUEST_MS };
    const timeoutMs = isLast && this.name !== "request" ? LAST_OPEN_MS : timeouts[this.name];
    return this.#candidates[this.#current].open(timeoutMs, handlers);
  }

  /** Opens a WebSocket beside a fallback. @param {TransportHandlers} handlers */
  openSocket(handlers) {
    this.#socketAfter = Date.now() + SOCKET_RETRY_MS;
    return this.#candidates[0].open(SOCKET_OPEN_MS, handlers);
  }

  /** Selects the WebSocket that `openSocket` has opened. */
  selectSocket() {
    this.#current = 0;
  }

  /** Makes a WebSocket be tried again at the next occasion, because it could not be used at this one. */
  trySocketSoon() {
    this.#socketAfter = 0;
  }

  /** Remembers that the selected transport works. */
  confirm() {
    if (this.name === "websocket") {
      this.#socketWorked = true;
      this.#memory.clear();
    } else if (this.#current > 0) {
      const delay = this.#socketWorked ? SOCKET_RETURN_MS : SOCKET_RETRY_MS;
      if (this.#socketAfter <= Date.now()) this.#socketAfter = Date.now() + delay;
      if (!this.#socketWorked) this.#memory.write({ name: this.name, until: this.#socketAfter });
    }
  }

  /**
   * Selects the next transport after the current one failed. Returns false if no other can help;
   * then the next attempt begins with a WebSocket.
   * @param {import("./transport.js").CloseCause | undefined} cause
   * @param {boolean} worked  whether the transport worked before it failed
   */
  fallBack(cause, worked) {
    const isOffline = globalThis.navigator?.onLine === false;
    const isSocket = this.name === "websocket";
    // If requests cannot be sent either, the server or the network is down.
    const helps = cause === "elsewhere" || (!worked && (isSocket || cause === "silent"));
    if (helps && !isOffline && this.#current < this.#candidates.length - 1) {
      this.#current += 1;
      return true;
    }
    if (!worked && !isSocket) this.forget();
    return false;
  }

  /** Makes the next attempt begin with a WebSocket, because the network may have changed. */
  forget() {
    this.#socketAfter = 0;
    this.#memory.clear();
  }

  /** Whether it is time to try a WebSocket beside the fallback. */
  get mayTrySocket() {
    const hasSocket = this.#candidates[0].name === "websocket";
    return hasSocket && this.#current > 0 && this.#socketAfter <= Date.now();
  }
}

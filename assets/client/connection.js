/**
 * A WebSocket connection that detects silence and reconnects after each close code as appropriate.
 */

/**
 * @typedef {"connecting" | "open" | "waiting" | "away" | "closed"} ConnectionState
 *   `waiting`: reconnects at `retryAt`; `away`: reconnects when the visitor becomes active again;
 *   `closed`: reconnects only on `connect()`.
 *
 * @typedef {object} ConnectionHandlers
 * @property {() => void} onOpen                 the socket is open and needs `start` or `resume`
 * @property {(frame: any) => void} onMessage
 * @property {() => boolean} isAwaitingAnswer
 * @property {(code: number) => void} onDisconnect
 * @property {(code: number) => void} onGiveUp   called after `onDisconnect` if it will not
 *   reconnect
 * @property {() => void} onStateChange
 */

const SUBPROTOCOL = "resume-chat.v1";

/**
 * The first retry is hardly noticed. The delay doubles up to a rate that does not burden a server
 * in trouble.
 */
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** After a server restart all clients reconnect, so each one waits for a random part of this. */
const RESTART_SPREAD_MS = 5_000;
/** The delay after a rate limit without `retry_after_ms`. */
const DEFAULT_RETRY_AFTER_MS = 30_000;
/** After a connection of at least this duration, the backoff starts again. */
const STABLE_CONNECTION_MS = 10_000;
/** A handshake over a mobile network can take several seconds. */
const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Models can take long, so a shorter silence is normal. */
const PING_AFTER_MS = 15_000;
const PONG_TIMEOUT_MS = 10_000;

/**
 * @typedef {"stop" | "spread" | "backoff" | "on-activity" | "retry-after"} ReconnectPolicy
 *   `stop`: do not reconnect; `spread`: reconnect after a random delay; `backoff`: reconnect with
 *   exponential backoff; `on-activity`: reconnect when the visitor is active; `retry-after`:
 *   reconnect after the delay that the server gave.
 */

/** @type {Record<number, ReconnectPolicy>} By close code. All other codes use `backoff`. */
const RECONNECT_POLICIES = {
  1000: "stop",
  1001: "stop",
  1002: "stop",
  1003: "stop",
  1007: "stop",
  1009: "stop",
  1012: "spread",
  1013: "backoff",
  4400: "stop",
  4408: "on-activity",
  4409: "stop",
  4413: "backoff",
  4429: "retry-after",
};

export class Connection {
  /** @type {ConnectionState} `connecting` until the server has sent a `session` frame. */
  state = "closed";
  /** The time of the next attempt, in milliseconds since the epoch; 0 if none is planned. */
  retryAt = 0;
  /** The close code of the last connection; 0 before the first one ended. */
  closeCode = 0;
  /** The delay that the server last asked for; 0 if none. */
  retryAfterMs = 0;

  /** @type {string} */ #url;
  /** @type {ConnectionHandlers} */ #handlers;
  /** @type {WebSocket | null} */ #socket = null;
  #failedAttempts = 0;
  #openedAt = 0;
  #lastMessageAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  #listeners = new AbortController();

  /** @param {string} url @param {ConnectionHandlers} handlers */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    const signal = this.#listeners.signal;
    const onReturn = () => this.#onActivity({ mayHurry: true });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || onReturn(), { signal });
    globalThis.addEventListener?.("online", onReturn, { signal });
    globalThis.addEventListener?.("pageshow", onReturn, { signal });
    for (const event of ["pointerdown", "keydown"]) {
      globalThis.addEventListener?.(event, () => this.#onActivity({ mayHurry: false }), { signal, passive: true });
    }
  }

  /** Connects now, also if a later attempt is planned or the connection is closed. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    this.#setState("connecting");
    this.retryAfterMs = 0;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#openedAt = Date.now();
    socket.onopen = () => this.#onSocketOpen();
    socket.onmessage = (event) => this.#socket === socket && this.#onSocketMessage(event.data);
    socket.onclose = (event) => this.#socket === socket && this.disconnect(event.code);
    this.#watchSilence();
  }

  /** Marks the connection as open, after the server has sent a `session` frame. */
  markOpen() {
    this.#setState("open");
  }

  /** Sends a frame. Returns false without an open socket. @param {object} frame */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#watchSilence();
    return true;
  }

  /** Closes the socket and resets the close code. Does not call any handler. */
  reset() {
    this.#dropSocket();
    this.closeCode = 0;
  }

  /** Closes the connection and removes all listeners. Does not reconnect. */
  close() {
    this.#listeners.abort();
    this.#dropSocket();
    this.#setState("closed");
  }

  /**
   * Handles the end of the connection, or ends it as if the server had closed it.
   * @param {number} code
   */
  disconnect(code) {
    const wasOpen = this.state === "open";
    this.#dropSocket();
    this.closeCode = code;
    if (wasOpen && Date.now() - this.#openedAt > STABLE_CONNECTION_MS) this.#failedAttempts = 0;
    this.#handlers.onDisconnect(code);
    let policy = RECONNECT_POLICIES[code] ?? "backoff";
    // A visitor who waits for an answer is not idle, even if the server closed the connection as
    // idle.
    if (policy === "on-activity" && this.#handlers.isAwaitingAnswer() && !globalThis.document?.hidden) policy = "backoff";
    switch (policy) {
      case "stop":
        this.#handlers.onGiveUp(code);
        this.#setState("closed");
        break;
      case "on-activity":
        this.#setState("away");
        break;
      case "spread":
        this.#retryIn(Math.random() * RESTART_SPREAD_MS);
        break;
      case "retry-after":
        this.#retryIn(this.retryAfterMs || DEFAULT_RETRY_AFTER_MS);
        break;
      case "backoff":
        this.#retryIn(Math.max(this.retryAfterMs, this.#nextBackoff()));
    }
  }

  #onSocketOpen() {
    this.#lastMessageAt = Date.now();
    this.#handlers.onOpen();
  }

  /** @param {unknown} data */
  #onSocketMessage(data) {
    this.#lastMessageAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      return;
    }
    this.#handlers.onMessage(frame);
    this.#watchSilence();
  }

  #dropSocket() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /**
   * Returns the next delay. Half of it is random, so that clients of a failed server do not
   * reconnect together.
   */
  #nextBackoff() {
    const maxDelay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failedAttempts);
    this.#failedAttempts += 1;
    return maxDelay / 2 + (Math.random() * maxDelay) / 2;
  }

  /** @param {number} delayMs */
  #retryIn(delayMs) {
    this.#setState("waiting", Date.now() + delayMs);
    this.#retryTimer = setTimeout(() => this.connect(), delayMs);
  }

  /**
   * Reconnects if the visitor was away.
   * @param {{mayHurry: boolean}} activity whether the network or the page came back, which is a
   *   reason to retry early
   */
  #onActivity({ mayHurry }) {
    if (this.state === "away") this.connect();
    else if (mayHurry && this.state === "waiting" && !this.retryAfterMs && this.closeCode === 1006) this.connect();
    else if (mayHurry && this.state === "open" && Date.now() - this.#lastMessageAt > PING_AFTER_MS) this.#ping();
  }

  /** Starts the timer for the next expected message. An idle connection may be silent. */
  #watchSilence() {
    clearTimeout(this.#silenceTimer);
    if (!this.#socket) return;
    if (this.state === "connecting") this.#silenceTimer = setTimeout(() => this.#onTimeout(), HANDSHAKE_TIMEOUT_MS);
    else if (this.#handlers.isAwaitingAnswer()) this.#silenceTimer = setTimeout(() => this.#ping(), PING_AFTER_MS);
  }

  #ping() {
    this.send({ type: "ping" });
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#onTimeout(), PONG_TIMEOUT_MS);
  }

  /** Disconnects without waiting for a close event, which a dead network never delivers. */
  #onTimeout() {
    this.disconnect(1006);
  }

  /** @param {ConnectionState} state @param {number} [retryAt] */
  #setState(state, retryAt = 0) {
    this.state = state;
    this.retryAt = retryAt;
    this.#handlers.onStateChange();
  }
}

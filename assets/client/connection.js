/**
 * A connection that detects silence and reconnects after each close code as appropriate, over the
 * transport that works.
 */

import { TransportChoice } from "./transport-choice.js";

/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {import("./transport.js").CloseCause} CloseCause */

/**
 * @typedef {"connecting" | "open" | "waiting" | "away" | "closed"} ConnectionState
 *   `waiting`: reconnects at `retryAt`; `away`: reconnects when the visitor becomes active again;
 *   `closed`: reconnects only on `connect()`.
 *
 * @typedef {object} ConnectionHandlers
 * @property {() => void} onOpen                 the transport is open and needs `start` or `resume`
 * @property {(frame: any) => void} onMessage
 * @property {() => boolean} isAwaitingAnswer
 * @property {(code: number) => void} onDisconnect
 * @property {(code: number, error?: any) => void} onGiveUp   called after `onDisconnect` if it will
 *   not reconnect; with the error frame that caused it, if there is one
 * @property {() => void} onStateChange
 */

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
/** The longest delay that a server can ask for. */
const MAX_RETRY_AFTER_MS = 5 * 60_000;
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

/** Close codes after which the client does not reconnect. */
const FINAL_CODES = [1000, 1001, 1002, 1003, 1007, 1009, 4400, 4409];

/** @type {Record<number, ReconnectPolicy>} By close code. All other codes use `backoff`. */
const RECONNECT_POLICIES = {
  1012: "spread",
  4408: "on-activity",
  4429: "retry-after",
};

export class Connection {
  /** @type {ConnectionState} `connecting` until the server has sent a `session` frame. */
  state = "closed";
  /** The time of the next attempt, in milliseconds since the epoch; 0 if none is planned. */
  retryAt = 0;
  /** The close code of the last connection; 0 before the first one ended. */
  closeCode = 0;

  /** @type {TransportChoice} */ #choice;
  /** @type {ConnectionHandlers} */ #handlers;
  /** @type {Transport | null} */ #transport = null;
  /** @type {Transport | null} A WebSocket that may replace the transport. */ #candidate = null;
  /** Whether the transport has delivered anything. */
  #works = false;
  #failedAttempts = 0;
  /** The delay that the server last asked for; 0 if none. */
  #retryAfterMs = 0;
  #openedAt = 0;
  #lastMessageAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  /** @type {(() => void)[]} */ #removeListeners = [];

  /** @param {TransportChoice} choice @param {ConnectionHandlers} handlers */
  constructor(choice, handlers) {
    this.#choice = choice;
    this.#handlers = handlers;
    const onReturn = () => this.#onActivity({ mayHurry: true });
    const { document } = globalThis;
    this.#listen(document, "visibilitychange", () => document.hidden || onReturn());
    this.#listen(globalThis, "pageshow", onReturn);
    this.#listen(globalThis, "online", () => {
      this.#choice.forget();
      onReturn();
    });
    for (const event of ["pointerdown", "keydown"]) {
      this.#listen(globalThis, event, () => this.#onActivity({ mayHurry: false }));
    }
  }

  /** The name of the transport that is in use or that the next attempt begins with. */
  get transport() {
    return this.#transport?.name ?? this.#choice.name;
  }

  /** Connects now, also if a later attempt is planned or the connection is closed. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#transport) return;
    this.#retryAfterMs = 0;
    this.#choice.begin();
    this.#open();
  }

  /** Marks the connection as open, after the server has sent a `session` frame. */
  markOpen() {
    if (this.state !== "open") this.#setState("open");
  }

  /** Sends a frame. Returns false without an open transport. @param {object} frame */
  send(frame) {
    const isSent = this.#transport?.send(frame) ?? false;
    if (isSent) this.#watchSilence();
    return isSent;
  }

  /**
   * Opens another transport of the kind that works, without any reconnection.
   * @param {import("./transport.js").TransportHandlers} handlers
   */
  openOther(handlers) {
    return this.#choice.open(handlers);
  }

  /** Closes the transport and resets the close code. Does not call any handler. */
  reset() {
    this.#dropTransport();
    this.closeCode = 0;
  }

  /** Closes the connection and removes all listeners. Does not reconnect. */
  close() {
    for (const remove of this.#removeListeners.splice(0)) remove();
    this.#dropTransport();
    this.#setState("closed");
  }

  /**
   * Ends the connection because the server rejected it.
   * @param {{retryable?: boolean, retry_after_ms?: number}} error the error frame
   */
  reject(error) {
    this.#retryAfterMs = Math.min(error.retry_after_ms ?? 0, MAX_RETRY_AFTER_MS);
    this.#disconnect(error.retryable ? 1013 : 1000, error);
  }

  /**
   * Listens until the connection is closed. Does nothing outside of a browser.
   * @param {EventTarget | undefined} target @param {string} type @param {() => void} listener
   */
  #listen(target, type, listener) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, listener, { passive: true });
    this.#removeListeners.push(() => target.removeEventListener(type, listener));
  }

  #open() {
    this.#works = false;
    this.#openedAt = this.#lastMessageAt = Date.now();
    // The handlers run later than this assignment.
    const transport = this.#choice.open(this.#handlersOf(() => this.#transport === transport));
    this.#transport = transport;
    this.#setState("connecting");
    this.#watchSilence();
  }

  /**
   * @param {() => boolean} isCurrent
   * @returns {import("./transport.js").TransportHandlers}
   */
  #handlersOf(isCurrent) {
    return {
      onOpen: () => isCurrent() && this.#handlers.onOpen(),
      onFrame: (frame) => isCurrent() && this.#onFrame(frame),
      onAlive: () => isCurrent() && this.#onAlive(),
      onRejected: (error) => isCurrent() && this.reject(error),
      onClose: (code, cause) => isCurrent() && this.#onClose(code, cause),
    };
  }

  /** @param {number} code @param {CloseCause} [cause] */
  #onClose(code, cause) {
    const worked = this.#works;
    if (!this.#choice.fallBack(cause, worked)) return this.#disconnect(code);
    this.#dropTransport();
    if (worked) this.#handlers.onDisconnect(code);
    this.#open();
  }

  /**
   * Handles the end of the connection, or ends it as if the server had closed it.
   * @param {number} code @param {any} [error]
   */
  #disconnect(code, error) {
    const wasOpen = this.state === "open";
    this.#dropTransport();
    this.closeCode = code;
    if (wasOpen && Date.now() - this.#openedAt > STABLE_CONNECTION_MS) this.#failedAttempts = 0;
    this.#handlers.onDisconnect(code);
    let policy = FINAL_CODES.includes(code) ? "stop" : (RECONNECT_POLICIES[code] ?? "backoff");
    // A visitor who waits for an answer is not idle, even if the server closed the connection as
    // idle.
    if (policy === "on-activity" && this.#handlers.isAwaitingAnswer() && !globalThis.document?.hidden) policy = "backoff";
    switch (policy) {
      case "stop":
        this.state = "closed";
        this.#handlers.onGiveUp(code, error);
        this.#setState("closed");
        break;
      case "on-activity":
        this.#setState("away");
        break;
      case "spread":
        this.#retryIn(Math.random() * RESTART_SPREAD_MS);
        break;
      case "retry-after":
        this.#retryIn(this.#retryAfterMs || DEFAULT_RETRY_AFTER_MS);
        break;
      case "backoff":
        this.#retryIn(Math.max(this.#retryAfterMs, this.#nextBackoff()));
    }
  }

  /** @param {any} frame */
  #onFrame(frame) {
    this.#onAlive();
    this.#handlers.onMessage(frame);
    this.#watchSilence();
    this.#trySocket();
  }

  #onAlive() {
    this.#lastMessageAt = Date.now();
    if (!this.#works) this.#choice.confirm();
    this.#works = true;
    this.#watchSilence();
  }

  /** Replaces a fallback by a WebSocket if there is one again, but not during an answer. */
  #trySocket() {
    if (this.#candidate || this.state !== "open" || this.#handlers.isAwaitingAnswer() || !this.#choice.mayTrySocket) return;
    const isCurrent = () => this.#transport === candidate;
    const handlers = this.#handlersOf(isCurrent);
    /** @type {Transport} */
    const candidate = this.#choice.openSocket({
      ...handlers,
      onOpen: () => {
        this.#candidate = null;
        if (this.state !== "open" || this.#handlers.isAwaitingAnswer()) {
          this.#choice.trySocketSoon();
          return candidate.close();
        }
        this.#dropTransport();
        this.#choice.selectSocket();
        this.#works = false;
        this.#transport = candidate;
        this.#handlers.onDisconnect(1000);
        this.#setState("connecting");
        this.#handlers.onOpen();
      },
      onClose: (code, cause) => {
        this.#candidate = null;
        handlers.onClose(code, cause);
      },
    });
    this.#candidate = candidate;
  }

  #dropTransport() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    this.#candidate?.close();
    this.#transport?.close();
    this.#candidate = this.#transport = null;
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
    else if (mayHurry && this.state === "waiting" && !this.#retryAfterMs && this.closeCode === 1006) this.connect();
    else if (mayHurry && this.state === "open" && Date.now() - this.#lastMessageAt > PING_AFTER_MS) this.#ping();
    this.#trySocket();
  }

  /** Starts the timer for the next expected message. An idle connection may be silent. */
  #watchSilence() {
    clearTimeout(this.#silenceTimer);
    // A proxy can withhold everything until the end, so requests have their own timeout.
    if (!this.#transport || this.#transport.name === "request") return;
    if (this.state === "connecting") this.#silenceTimer = setTimeout(() => this.#onTimeout(), HANDSHAKE_TIMEOUT_MS);
    else if (this.#handlers.isAwaitingAnswer()) this.#silenceTimer = setTimeout(() => this.#ping(), PING_AFTER_MS);
  }

  #ping() {
    if (this.#transport?.name === "request") return;
    this.send({ type: "ping" });
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#onTimeout(), PONG_TIMEOUT_MS);
  }

  /** Disconnects without waiting for a close event, which a dead network never delivers. */
  #onTimeout() {
    this.#onClose(1006, "silent");
  }

  /** @param {ConnectionState} state @param {number} [retryAt] */
  #setState(state, retryAt = 0) {
    this.state = state;
    this.retryAt = retryAt;
    this.#handlers.onStateChange();
  }
}

/** The connection under a conversation: opened, watched, lost, and opened again as each way of ending asks for. */

/**
 * @typedef {"connecting" | "open" | "waiting" | "away" | "closed"} ConnectionState
 *   `waiting`: will reconnect by itself at `retryAt`; `away`: reconnects when the person is back; `closed`: only when asked to.
 *
 * @typedef {object} Speaker  who speaks over the connection
 * @property {() => void} greet                   the line is there: say `start` or `resume`
 * @property {(frame: any) => void} hear          the server said something
 * @property {() => boolean} waits                whether an answer is awaited
 * @property {(code: number) => void} lose        the line is gone
 * @property {(code: number) => void} giveUp      and will not come back by itself
 * @property {() => void} change                  `state` has changed
 */

const SUBPROTOCOL = "resume-chat.v1";

/** A first retry this soon is hardly noticed; later ones double up to a pace that does not burden a server in trouble. */
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** After a restart everybody comes back at once, so each waits for a moment of its own. */
const RESTART_SPREAD_MS = 5_000;
/** Used when a server asks for patience without saying how much. */
const DEFAULT_PATIENCE_MS = 30_000;
/** A connection that lived this long was a good one: the next failure starts counting from the beginning. */
const GOOD_CONNECTION_MS = 10_000;
/** A phone on a train can need several seconds for a handshake. */
const HANDSHAKE_MS = 15_000;
/** Models think; only a longer silence is worth a ping. */
const SILENCE_MS = 15_000;
const PONG_MS = 10_000;

/**
 * What to do after each close code.
 * @type {Record<number, "stop" | "spread" | "backoff" | "return" | "patience">}
 */
const AFTER_CLOSE = {
  1000: "stop",
  1001: "stop",
  1002: "stop",
  1003: "stop",
  1007: "stop",
  1009: "stop",
  1012: "spread",
  1013: "backoff",
  4400: "stop",
  4408: "return",
  4409: "stop",
  4413: "backoff",
  4429: "patience",
};

/** One line to a server at a time, and the rules for the next one. */
export class Connection {
  /** @type {ConnectionState} `connecting` until the server has answered the greeting. */
  state = "closed";
  /** When the next attempt is made, in milliseconds since the epoch; 0 when none is planned. */
  retryAt = 0;
  /** The code the last line was closed with; 0 before there was one. */
  closeCode = 0;
  /** For how long the server last asked to be left alone. */
  patienceMs = 0;

  /** @type {string} */ #url;
  /** @type {Speaker} */ #speaker;
  /** @type {WebSocket | null} */ #socket = null;
  #attempt = 0;
  #openedAt = 0;
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  #listeners = new AbortController();

  /** @param {string} url @param {Speaker} speaker */
  constructor(url, speaker) {
    this.#url = url;
    this.#speaker = speaker;
    const signal = this.#listeners.signal;
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.#personIsBack(true), { signal });
    globalThis.addEventListener?.("online", () => this.#personIsBack(true), { signal });
    globalThis.addEventListener?.("pageshow", () => this.#personIsBack(true), { signal });
    for (const sign of ["pointerdown", "keydown"]) {
      globalThis.addEventListener?.(sign, () => this.#personIsBack(false), { signal, passive: true });
    }
  }

  /** Connects now, also when a later attempt was planned or the line was closed for good. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    this.#setState("connecting");
    this.patienceMs = 0;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#openedAt = Date.now();
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#socket === socket && this.#receive(event.data);
    socket.onclose = (event) => this.#socket === socket && this.lose(event.code);
    this.#listenForSilence();
  }

  /** The server has answered the greeting. */
  greeted() {
    this.#setState("open");
  }

  /** Sends a frame. Answers whether there was a line to send it on. @param {object} frame */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#listenForSilence();
    return true;
  }

  /** Leaves the line, as if there had never been one. */
  hangUp() {
    this.#letGo();
    this.closeCode = 0;
  }

  /** Leaves the line for good, with everything that might bring it back. */
  close() {
    this.#listeners.abort();
    this.#letGo();
    this.#setState("closed");
  }

  /** The line has ended, or is given up as if it had ended with this code. @param {number} code */
  lose(code) {
    const wasOpen = this.state === "open";
    this.#letGo();
    this.closeCode = code;
    if (wasOpen && Date.now() - this.#openedAt > GOOD_CONNECTION_MS) this.#attempt = 0;
    this.#speaker.lose(code);
    let then = AFTER_CLOSE[code] ?? "backoff";
    // Somebody who watches for an answer is not away, whatever the server thinks.
    if (then === "return" && this.#speaker.waits() && !globalThis.document?.hidden) then = "backoff";
    switch (then) {
      case "stop":
        this.#speaker.giveUp(code);
        this.#setState("closed");
        break;
      case "return":
        this.#setState("away");
        break;
      case "spread":
        this.#retryIn(Math.random() * RESTART_SPREAD_MS);
        break;
      case "patience":
        this.#retryIn(this.patienceMs || DEFAULT_PATIENCE_MS);
        break;
      default:
        this.#retryIn(Math.max(this.patienceMs, this.#backoff()));
    }
  }

  #opened() {
    this.#heardAt = Date.now();
    this.#speaker.greet();
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      return;
    }
    this.#speaker.hear(frame);
    this.#listenForSilence();
  }

  #letGo() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** Half of the delay is random, so that clients who lost the same server do not come back together. */
  #backoff() {
    const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  /** @param {number} delay */
  #retryIn(delay) {
    this.#setState("waiting", Date.now() + delay);
    this.#retryTimer = setTimeout(() => this.connect(), delay);
  }

  /** @param {boolean} certain whether this is more than a touch, and reason enough to hurry a planned attempt */
  #personIsBack(certain) {
    if (this.state === "away") this.connect();
    else if (certain && this.state === "waiting" && !this.patienceMs && this.closeCode === 1006) this.connect();
    else if (certain && this.state === "open" && Date.now() - this.#heardAt > SILENCE_MS) this.#probe();
  }

  /** Silence is only suspicious while something is owed; an idle connection is left alone. */
  #listenForSilence() {
    clearTimeout(this.#silenceTimer);
    if (!this.#socket) return;
    if (this.state === "connecting") this.#silenceTimer = setTimeout(() => this.#die(), HANDSHAKE_MS);
    else if (this.#speaker.waits()) this.#silenceTimer = setTimeout(() => this.#probe(), SILENCE_MS);
  }

  #probe() {
    this.send({ type: "ping" });
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#die(), PONG_MS);
  }

  /** A dead network never reports a close, so the socket is left behind and the loss dealt with now. */
  #die() {
    this.lose(1006);
  }

  /** @param {ConnectionState} state @param {number} [retryAt] */
  #setState(state, retryAt = 0) {
    this.state = state;
    this.retryAt = retryAt;
    this.#speaker.change();
  }
}

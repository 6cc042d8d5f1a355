/**
 * The transport that works through proxies that collect whole responses, and if every request
 * reaches another server: one request for each question. There is no connection in between.
 *
 * Each request resumes the session, carries the frames, and ends when the answer is complete.
 */

import { MAX_FRAMES, ResponseError, post, readEvents } from "./event-request.js";

/** @typedef {import("./transport.js").TransportHandlers} TransportHandlers */
/** @typedef {import("./transport.js").TransportOptions} TransportOptions */

/** The number of frames that may wait for the request before them. */
const MAX_WAITING = 128;
/** The time for a request that only starts a session. */
const START_MS = 15_000;
/** Frames that do not wait for the request before them. */
const URGENT = new Set(["cancel", "forget"]);
/** Frames that are worth a request of their own when the transport is closed. */
const LAST = new Set(["cancel", "feedback"]);
/** The time for that request. */
const LAST_POST_MS = 2_000;

export class RequestTransport {
  name = /** @type {const} */ ("request");
  /** @type {TransportOptions} */ #options;
  /** @type {TransportHandlers | null} Null when the transport has ended. */ #handlers;
  /** @type {any} `start` or `resume`, which the next request begins with. */ #greeting = null;
  /** @type {any[]} */ #waiting = [];
  /** @type {any[]} The frames of the running request. */ #sent = [];
  /** @type {AbortController | null} Of the running request. */ #running = null;
  #hasSession = false;
  /** @type {string | null} The last turn that ended. */ #ended = null;

  /** @param {TransportOptions} options @param {TransportHandlers} handlers */
  constructor(options, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    queueMicrotask(() => this.#handlers?.onOpen());
  }

  /** @param {any} frame */
  send(frame) {
    if (!this.#handlers || this.#waiting.length >= MAX_WAITING) return false;
    if (frame.type === "ping") return true;
    if (frame.type === "start" || frame.type === "resume") {
      this.#greeting = frame;
    } else {
      // After each `session`, the client repeats what it does not know to have arrived.
      if (frame.id && [...this.#sent, ...this.#waiting].some(({ id }) => id === frame.id)) return true;
      this.#waiting.push(frame);
      if (URGENT.has(frame.type) && this.#running) this.#interrupt();
    }
    // After this call, because it can add a greeting or more frames.
    queueMicrotask(() => this.#next());
    return true;
  }

  /** A rating or a stop that was sent before still arrives, if the server accepts it soon. */
  close() {
    this.#stop();
    if (this.#handlers && this.#waiting.some(({ type }) => LAST.has(type))) {
      this.#handlers.onOpen();
      const frames = [this.#greeting, ...this.#waiting.splice(0, MAX_FRAMES - 1)];
      post({ ...this.#options, url: `${this.#options.url}?close=done` }, frames, AbortSignal.timeout(LAST_POST_MS)).catch(() => {});
    }
    this.#handlers = null;
  }

  /**
   * Stops the running request. Its frames precede the next ones, because the server may not have
   * received them. Their ids make that harmless.
   */
  #interrupt() {
    this.#waiting.unshift(...this.#sent.filter(({ id }) => id));
    this.#stop();
  }

  #stop() {
    this.#running?.abort();
    this.#running = null;
    this.#sent = [];
  }

  #next() {
    if (this.#running || !this.#handlers || (!this.#greeting && this.#waiting.length === 0)) return;
    if (!this.#greeting) this.#handlers.onOpen();
    // The server would first send the end of this turn again, and reject questions until then.
    if (this.#ended && this.#greeting?.cursor?.turn_id === this.#ended) this.#greeting = { ...this.#greeting, cursor: undefined };
    const frames = [this.#greeting, ...this.#waiting.splice(0, MAX_FRAMES - 1)];
    this.#greeting = null;
    this.#sent = frames;
    const running = new AbortController();
    this.#running = running;
    this.#request(frames, running).then(
      (code) => this.#running === running && this.#onEnd(code),
      (error) => this.#running === running && this.#onError(error),
    );
  }

  /** Returns the close code. @param {object[]} frames @param {AbortController} running */
  async #request(frames, running) {
    // Only a new session has nothing to wait for.
    const isStart = frames.length === 1 && /** @type {any} */ (frames[0]).type === "start";
    let timer = setTimeout(() => running.abort(), isStart ? START_MS : this.#options.timeoutMs);
    let code = 1006;
    this.#hasSession = false;
    /** @param {() => void} action */
    const ifRunning = (action) => this.#running === running && action();
    try {
      const response = await post({ ...this.#options, url: `${this.#options.url}?close=done` }, frames, running.signal);
      await readEvents(response, {
        onEvent: (event, data) => {
          if (event === "close") code = data?.code ?? 1006;
          else if (event === "message") ifRunning(() => this.#onFrame(data));
        },
        onAlive: () => {
          clearTimeout(timer);
          timer = setTimeout(() => running.abort(), this.#options.timeoutMs);
          ifRunning(() => this.#handlers?.onAlive());
        },
      });
      return code;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {any} frame */
  #onFrame(frame) {
    if (frame?.type === "session") this.#hasSession = true;
    else if (frame?.type === "done") this.#ended = frame.turn_id;
    else if (frame?.type === "error" && frame.id) this.#sent = this.#sent.filter(({ id }) => id !== frame.id);
    this.#handlers?.onFrame(frame);
  }

  /** @param {number} code */
  #onEnd(code) {
    this.#running = null;
    this.#sent = [];
    if (code !== 1000) return this.#end(code);
    // A question starts a session by itself.
    if (this.#hasSession && this.#greeting?.type === "start") this.#greeting = null;
    this.#next();
  }

  /** @param {unknown} error */
  #onError(error) {
    if (error instanceof ResponseError && error.frame) {
      const handlers = this.#handlers;
      this.close();
      handlers?.onRejected(error.frame);
    } else {
      this.#end(error instanceof RangeError ? 1009 : 1006, "blocked");
    }
  }

  /** @param {number} code @param {import("./transport.js").CloseCause} [cause] */
  #end(code, cause) {
    const handlers = this.#handlers;
    this.close();
    handlers?.onClose(code, cause);
  }
}

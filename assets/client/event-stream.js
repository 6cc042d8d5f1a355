/**
 * The transport for networks that block WebSockets: an event stream down, and a request up for
 * further frames.
 */

import { MAX_FRAMES, ResponseError, post, readEvents } from "./event-request.js";

/** @typedef {import("./transport.js").TransportHandlers} TransportHandlers */
/** @typedef {import("./transport.js").TransportOptions} TransportOptions */

/** The number of frames that may wait for the request before them. */
const MAX_WAITING = 128;
/** The time for frames that were sent just before the end. */
const LAST_POST_MS = 2_000;
const HANDLE_MS = 200;
/** If a server ends, its stream ends at about the same time as it stops to know the connection. */
const STREAM_END_MS = 1_000;

export class EventStreamTransport {
  name = /** @type {const} */ ("events");
  /** @type {TransportOptions} */ #options;
  /** @type {TransportHandlers | null} Null when the transport has ended. */ #handlers;
  #abort = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #started = false;
  /** The address for further frames, from the first event. */
  #postUrl = "";
  /** @type {object[]} */ #waiting = [];
  #posting = false;

  /** @param {TransportOptions} options @param {TransportHandlers} handlers */
  constructor(options, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    queueMicrotask(() => this.#handlers?.onOpen());
  }

  /** @param {object} frame */
  send(frame) {
    if (!this.#handlers || this.#waiting.length >= MAX_WAITING) return false;
    if (this.#started) {
      this.#waiting.push(frame);
      this.#postWaiting();
    } else {
      this.#started = true;
      this.#read(frame).catch((error) => this.#fail(error));
    }
    return true;
  }

  /** Frames that were sent before still arrive, if the server accepts them soon. */
  close() {
    this.#handlers = null;
    clearTimeout(this.#timer);
    if (this.#posting) this.#timer = setTimeout(() => this.#abort.abort(), LAST_POST_MS);
    else this.#abort.abort();
  }

  /** Opens the stream, and reads it until its end. @param {object} first */
  async #read(first) {
    this.#timer = setTimeout(() => this.#end(1006, "silent"), this.#options.timeoutMs);
    const response = await post(this.#options, [first], this.#abort.signal);
    await readEvents(response, {
      onEvent: (event, data) => this.#onEvent(event, data),
      onAlive: () => {
        clearTimeout(this.#timer);
        this.#handlers?.onAlive();
      },
    });
    this.#end(1006);
  }

  /** @param {string} event @param {any} data */
  #onEvent(event, data) {
    if (event === "message") {
      this.#handlers?.onFrame(data);
    } else if (event === "connected") {
      this.#postUrl = `${this.#options.url}/${data?.connection_id}`;
      this.#postWaiting();
    } else if (event === "close") {
      this.#end(data?.code ?? 1006);
    }
  }

  async #postWaiting() {
    if (this.#posting || !this.#postUrl) return;
    this.#posting = true;
    try {
      while (this.#waiting.length > 0) {
        await post({ ...this.#options, url: this.#postUrl }, this.#waiting.splice(0, MAX_FRAMES), this.#abort.signal);
      }
      this.#posting = false;
      if (!this.#handlers) {
        // The server has the frames, but handles them only as long as the stream is open.
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#abort.abort(), HANDLE_MS);
      }
    } catch (error) {
      this.#posting = false;
      if (!this.#handlers) return this.close();
      const isUnknown = error instanceof ResponseError && error.frame?.code === "CONNECTION_NOT_FOUND";
      if (isUnknown) this.#timer = setTimeout(() => this.#end(1006, "elsewhere"), STREAM_END_MS);
      // Lost frames are sent again on the next connection.
      else this.#end(error instanceof ResponseError ? closeCode(error) : 1006);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    if (error instanceof ResponseError && error.frame) {
      const handlers = this.#handlers;
      this.close();
      handlers?.onRejected(error.frame);
    } else {
      this.#end(error instanceof RangeError ? 1009 : 1006, error instanceof ResponseError ? undefined : "blocked");
    }
  }

  /** @param {number} code @param {import("./transport.js").CloseCause} [cause] */
  #end(code, cause) {
    const handlers = this.#handlers;
    this.close();
    handlers?.onClose(code, cause);
  }
}

/** Returns the close code with the meaning of a rejected request. @param {ResponseError} error */
export function closeCode({ status }) {
  if (status === 413) return 1009;
  if (status === 400) return 1002;
  return status === 429 || status === 503 ? 1013 : 1006;
}

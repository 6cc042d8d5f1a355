/** One request of the event stream: frames up, events down. */

import { EventStreamParser } from "./event-stream-parser.js";
import { parseFrame } from "./transport.js";

/** The maximum number of frames in one request. */
export const MAX_FRAMES = 8;

/**
 * @typedef {object} EventHandlers
 * @property {(event: string, data: any) => void} onEvent
 * @property {() => void} onAlive
 */

/** A response other than an event stream. */
export class ResponseError extends Error {
  /** The error frame of the server; null if another program answered. @type {any} */ frame;
  /** @type {number} */ status;

  /** @param {number} status @param {any} frame */
  constructor(status, frame) {
    super(`HTTP ${status}`);
    this.status = status;
    this.frame = frame;
  }
}

/**
 * Posts frames, one a line. As plain text, browsers send them to another origin without asking
 * first. Rejects with a {@link ResponseError} unless the status is 2xx.
 * @param {{url: string, fetch: typeof globalThis.fetch}} server
 * @param {object[]} frames @param {AbortSignal} signal
 */
export async function post({ url, fetch }, frames, signal) {
  const body = frames.map((frame) => JSON.stringify(frame)).join("\n");
  const response = await fetch(url, { method: "POST", body, signal, cache: "no-store" });
  if (!response.ok) throw await responseError(response);
  return response;
}

/**
 * Passes on the events of a response until its end.
 * @param {Response} response @param {EventHandlers} handlers
 */
export async function readEvents(response, { onEvent, onAlive }) {
  if (!response.body || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    throw new ResponseError(response.status, null);
  }
  const parser = new EventStreamParser(({ event, data }) => onEvent(event, parseFrame(data)));
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onAlive();
      parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {Response} response */
async function responseError(response) {
  const error = parseFrame(await response.text().catch(() => ""));
  if (typeof error?.code !== "string") return new ResponseError(response.status, null);
  const seconds = Number(response.headers.get("Retry-After"));
  return new ResponseError(response.status, {
    type: "error",
    ...error,
    retry_after_ms: error.retry_after_ms ?? (seconds > 0 ? seconds * 1_000 : undefined),
  });
}

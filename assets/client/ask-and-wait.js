/** Asks a question and waits for its answer, for programs. */

import { ChatError } from "./chat-error.js";

/** @typedef {import("./turn.js").Turn} Turn */

/**
 * @typedef {object} AskOptions
 * @property {AbortSignal} [signal]             stops the answer
 * @property {(text: string) => void} [onDelta] called with each further part of the answer
 * @property {() => void} [onReset]             called if the answer starts again; the parts so far
 *   are void
 * @property {number} [maxWaitMs]               how long to wait for a connection, or for the time
 *   that the server names before a retry; 60,000 if absent
 * @property {boolean} [regenerate]             whether to request another answer if one was
 *   interrupted, for example by a crash of the server; true if absent
 *
 * @typedef {object} Answer
 * @property {string} text
 * @property {"complete" | "length" | "cancelled"} status
 * @property {"live" | "excerpts"} mode
 * @property {string | null} turnId
 */

const DEFAULT_MAX_WAIT_MS = 60_000;
/** The number of further attempts after errors and interruptions together. */
const MAX_RETRIES = 5;
/** The delay before a retry if the server names none. It doubles each time. */
const FIRST_RETRY_MS = 1_000;

/** How long a stopped answer may take to end. */
const STOP_TIMEOUT_MS = 5_000;

/** @type {WeakMap<import("./client.js").ChatClient, Promise<void>>} The end of a stopped answer. */
const stopping = new WeakMap();

/** Stops the answer. @param {import("./client.js").ChatClient} client */
function stopAnswer(client) {
  client.cancel();
  if (!client.busy) return;
  stopping.set(client, new Promise((resolve) => {
    const listening = new AbortController();
    const end = () => {
      listening.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, STOP_TIMEOUT_MS);
    for (const event of ["turn", "transcript", "state"]) {
      const onEvent = () => client.busy || end();
      client.addEventListener(event, onEvent, { signal: listening.signal });
    }
  }));
}

/**
 * Waits until an answer that was just stopped has ended, because only then another one can begin.
 * @param {import("./client.js").ChatClient} client
 */
export async function untilStopped(client) {
  await stopping.get(client);
}

/**
 * Asks a question and waits for the answer.
 * @param {import("./client.js").ChatClient} client @param {string} question
 * @param {AskOptions} options
 * @returns {Promise<Answer>}
 */
export async function askAndWait(client, question, options) {
  options.signal?.throwIfAborted();
  await untilStopped(client);
  const turn = client.ask(question);
  if (!turn) throw new ChatError("TURN_IN_PROGRESS", "Another question is being answered.", { retryable: true });
  return waitForAnswer(client, turn, options);
}

/**
 * Waits for the answer of a turn that was just started or that is being answered.
 * @param {import("./client.js").ChatClient} client @param {Turn} turn
 * @param {AskOptions} options
 * @returns {Promise<Answer>}
 */
export function waitForAnswer(client, turn, { signal, onDelta, onReset, maxWaitMs = DEFAULT_MAX_WAIT_MS, regenerate = true }) {
  return new Promise((resolve, reject) => {
    let shown = "";
    let retries = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let waitTimer;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let retryTimer;
    const listening = new AbortController();

    const stop = () => {
      listening.abort();
      clearTimeout(waitTimer);
      clearTimeout(retryTimer);
    };
    /** @param {unknown} error */
    const fail = (error) => {
      stop();
      reject(error);
    };
    /** @param {string} code @param {string} message @param {number} [retryAfterMs] */
    const giveUp = (code, message, retryAfterMs) => {
      fail(new ChatError(code, message, { retryable: true, retryAfterMs, text: shown }));
    };
    const show = () => {
      const { answer } = turn;
      // After a reconnection, the answer can arrive again from its start.
      if (shown.startsWith(answer)) return;
      if (!answer.startsWith(shown)) {
        shown = "";
        onReset?.();
      }
      const text = answer.slice(shown.length);
      shown = answer;
      onDelta?.(text);
    };
    /** @param {number} delayMs */
    const retryIn = (delayMs) => {
      retries += 1;
      retryTimer = setTimeout(() => {
        // The client may do it by itself.
        if (!client.busy) client.askAgain(turn);
        turn = client.turns.at(-1) ?? turn;
        retryTimer = undefined;
        check();
      }, delayMs);
    };
    /** @param {Turn} failed */
    const onFailed = ({ error }) => {
      const retryAfterMs = error?.retryAt ? Math.max(1, error.retryAt - Date.now()) : 0;
      const delayMs = retryAfterMs || FIRST_RETRY_MS * 2 ** retries;
      if (error?.retryable && client.state !== "closed" && retries < MAX_RETRIES && delayMs <= maxWaitMs) return retryIn(delayMs);
      const message = error?.message ?? "Something went wrong.";
      fail(new ChatError(error?.code ?? "INTERNAL_ERROR", message, { retryable: error?.retryable, retryAfterMs, text: shown }));
    };
    const check = () => {
      if (retryTimer !== undefined) return;
      const { turnId } = turn;
      // The history of the server replaces the turns.
      if (!client.turns.includes(turn)) turn = client.turns.find((other) => turnId && other.turnId === turnId) ?? turn;
      show();
      watchConnection();
      const { status, mode, answer } = turn;
      if (status === "complete" || status === "length" || status === "cancelled") {
        if (shown !== answer) onReset?.();
        if (shown !== answer && answer) onDelta?.(answer);
        stop();
        resolve({ text: answer, status, mode, turnId: turn.turnId });
      } else if (status === "failed") {
        onFailed(turn);
      } else if (client.state === "closed") {
        giveUp("CONNECTION_CLOSED", "The connection was closed before the question was answered.");
      } else if (status === "interrupted" && regenerate && retries < MAX_RETRIES) {
        retryIn(0);
      } else if (status === "interrupted") {
        giveUp("INTERRUPTED", "The answer was interrupted.");
      }
    };
    const watchConnection = () => {
      if (client.state === "open") {
        clearTimeout(waitTimer);
        waitTimer = undefined;
      }
      if (client.state === "open" || waitTimer !== undefined) return;
      waitTimer = setTimeout(() => {
        const retryAfterMs = Math.max(0, client.retryAt - Date.now());
        listening.abort();
        client.cancel();
        giveUp("CONNECTION_CLOSED", "The server cannot be reached.", retryAfterMs);
      }, maxWaitMs);
    };
    const options = { signal: listening.signal };
    for (const event of ["turn", "transcript", "state"]) client.addEventListener(event, check, options);
    signal?.addEventListener("abort", () => {
      listening.abort();
      stopAnswer(client);
      fail(signal.reason);
    }, options);
    check();
  });
}

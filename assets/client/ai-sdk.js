/** A transport for `useChat` of the AI SDK. */

import { untilStopped, waitForAnswer } from "./ask-and-wait.js";
import { ChatError } from "./chat-error.js";
import { FINAL } from "./turn.js";

/** @typedef {import("./client.js").ChatClient} ChatClient */
/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("ai").UIMessage} UIMessage */
/** @typedef {import("ai").UIMessageChunk} UIMessageChunk */
/** @typedef {import("ai").ChatTransport<UIMessage>} ChatTransport */

/** How long to wait for the session before a question. */
const SESSION_TIMEOUT_MS = 30_000;

/**
 * Connects `useChat` with a conversation. The server keeps the history, so only the last question
 * is sent.
 * @implements {ChatTransport}
 */
export class ResumeChatTransport {
  /** An answer is resumed from its start. */
  resumeStreamIsReplay = true;
  #client;
  #maxWaitMs;

  /** @param {ChatClient} client @param {{maxWaitMs?: number}} [options] as for `askAndWait` */
  constructor(client, { maxWaitMs } = {}) {
    this.#client = client;
    this.#maxWaitMs = maxWaitMs;
  }

  /**
   * Asks the last question, or requests another answer to it.
   * @param {Parameters<ChatTransport["sendMessages"]>[0]} options
   */
  async sendMessages({ trigger, messages, abortSignal }) {
    const client = this.#client;
    await this.#session(abortSignal);
    await untilStopped(client);
    const question = textOf(messages.findLast(({ role }) => role === "user"));
    const turn = (trigger === "regenerate-message" ? client.regenerate() : null) ?? client.ask(question);
    if (!turn) throw new ChatError("TURN_IN_PROGRESS", "Please wait until the current answer is complete.", { retryable: true });
    return this.#stream(turn, abortSignal);
  }

  /**
   * Continues the answer that is being generated; resolves with null if there is none.
   * @param {Parameters<ChatTransport["reconnectToStream"]>[0]} options
   */
  async reconnectToStream({ abortSignal }) {
    await this.#session(abortSignal);
    const last = this.#client.turns.at(-1);
    return last && this.#client.busy ? this.#stream(last, abortSignal) : null;
  }

  /** Closes the connection. */
  close() {
    this.#client.close();
  }

  /** Waits until the client has a session. @param {AbortSignal} [abortSignal] */
  async #session(abortSignal) {
    const client = this.#client;
    if (client.state === "open") return;
    const signal = AbortSignal.any([AbortSignal.timeout(SESSION_TIMEOUT_MS), ...(abortSignal ? [abortSignal] : [])]);
    const opened = new Promise((resolve, reject) => {
      client.addEventListener("session", resolve, { once: true, signal });
      signal.addEventListener("abort", () => {
        const isTimeout = signal.reason?.name === "TimeoutError";
        reject(isTimeout ? new ChatError("CONNECTION_CLOSED", "The server cannot be reached.", { retryable: true }) : signal.reason);
      }, { once: true });
    });
    if (client.state === "closed" || client.state === "away") client.connect();
    await opened;
  }

  /** @param {Turn} turn @param {AbortSignal} [signal] */
  #stream(turn, signal) {
    /** @type {ReadableStream<UIMessageChunk>} */
    const stream = new ReadableStream({
      start: (controller) => this.#follow(turn, controller, signal),
      cancel: () => this.#client.cancel(),
    });
    return stream;
  }

  /**
   * @param {Turn} turn @param {ReadableStreamDefaultController<UIMessageChunk>} controller
   * @param {AbortSignal} [signal]
   */
  async #follow(turn, controller, signal) {
    let part = 0;
    const id = () => `text-${part}`;
    controller.enqueue({ type: "start" });
    controller.enqueue({ type: "start-step" });
    controller.enqueue({ type: "text-start", id: id() });
    try {
      const answer = await waitForAnswer(this.#client, turn, {
        signal,
        maxWaitMs: this.#maxWaitMs,
        onDelta: (delta) => controller.enqueue({ type: "text-delta", id: id(), delta }),
        onReset: () => {
          controller.enqueue({ type: "reset-step" });
          part += 1;
          controller.enqueue({ type: "text-start", id: id() });
        },
      });
      const { turnId, mode, status } = answer;
      controller.enqueue({ type: "text-end", id: id() });
      controller.enqueue({ type: "finish-step" });
      const finishReason = status === "length" ? "length" : "stop";
      controller.enqueue({ type: "finish", finishReason, messageMetadata: { turnId, mode, status } });
      controller.close();
    } catch (error) {
      if (!signal?.aborted) return controller.error(error);
      controller.enqueue({ type: "abort" });
      controller.close();
    }
  }
}

/**
 * Returns the conversation as messages for `useChat`. An answer that is not complete is left out,
 * because `resumeStream()` delivers it.
 * @param {ChatClient} client
 * @returns {UIMessage[]}
 */
export function messagesOf(client) {
  return client.turns.flatMap(({ id, turnId, question, answer, mode, status }) => {
    /** @type {UIMessage[]} */
    const messages = [{ id, role: "user", parts: [{ type: "text", text: question }] }];
    if (FINAL.has(status)) {
      messages.push({ id: turnId ?? `${id}-answer`, role: "assistant", metadata: { turnId, mode, status }, parts: [{ type: "text", text: answer }] });
    }
    return messages;
  });
}

/** @param {UIMessage | undefined} message */
function textOf(message) {
  return (message?.parts ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");
}

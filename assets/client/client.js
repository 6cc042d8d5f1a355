/**
 * A client of the resume chat protocol that keeps a conversation consistent across reconnections.
 */

import { Connection } from "./connection.js";
import { Conversations } from "./conversations.js";
import { PendingRatings } from "./pending-ratings.js";
import { SessionStore } from "./session-store.js";
import { Transcript } from "./transcript.js";
import { TransportChoice, addressesOf } from "./transport-choice.js";
import { keepWhatWasRead, newId, newTurn, restartsAnswer } from "./turn.js";

export { ChatError } from "./chat-error.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").TurnError} TurnError */
/** @typedef {import("./turn.js").TurnStatus} TurnStatus */
/** @typedef {import("./turn.js").HistoryMessage} HistoryMessage */

/** @typedef {import("./types.js").SessionLimits} SessionLimits */
/** @typedef {import("./types.js").Session} Session */
/** @typedef {import("./types.js").ErrorFrame} ErrorFrame */
/** @typedef {import("./types.js").ChatClientOptions} ChatClientOptions */
/** @typedef {import("./types.js").TurnChange} TurnChange */
/** @typedef {import("./types.js").ChatEvents} ChatEvents */

/** @type {Record<string, "live" | "excerpts">} The mode of the answers after a notice, by code. */
const MODES = { DEGRADED: "excerpts", RECOVERED: "live" };

/** The number of other answers that are requested without the visitor for one question. */
const MAX_REGENERATIONS = 2;

/** The longest wait before a question is sent again during another answer. */
const MAX_DEFER_MS = 30_000;

/** An unsent question is sent after a reload, but not if the visitor returns much later. */
const UNSENT_LIFETIME_MS = 10 * 60_000;

/**
 * A conversation with one server.
 *
 * All events are `CustomEvent`s; {@link ChatEvents} lists them. The error of a turn is in its
 * `error` field.
 */
export class ChatClient extends EventTarget {
  /** @type {Session | null} */
  session = null;

  /** @type {Connection} */ #connection;
  /** @type {SessionStore} */ #store;
  #transcript = new Transcript();
  #ratings = new PendingRatings();
  /** @type {Turn | null} The turn being sent or answered. */
  #active = null;
  /** @type {{turn_id: string, seq: number} | null} The cursor of the last `resume`. */
  #sentCursor = null;
  #cancelSent = false;
  /** Whether to send a `cancel` after reconnecting. */
  #cancelAfterResume = false;
  /** Whether the question waits until the server has finished an earlier answer. */
  #questionDeferred = false;
  #loadingEarlier = false;
  /** Whether the reply to `start` or `resume` has not arrived. */
  #awaitingSession = false;
  /** Whether the visitor opened the conversation that is being resumed. */
  #opening = false;
  /** @type {Conversations} */ #conversations;
  #regenerateInterrupted;
  /** The number of answers requested without the visitor since the last one that completed. */
  #regenerations = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #deferredTimer;

  /** @param {ChatClientOptions} [options] */
  constructor(options = {}) {
    super();
    const addresses = addressesOf(options);
    const { storage, storageKey = `resume-chat:${addresses.socket}` } = options;
    this.#regenerateInterrupted = options.regenerateInterrupted ?? false;
    this.#store = new SessionStore(storageKey, storage);
    this.#conversations = new Conversations(`${storageKey}:conversations`, storage);
    this.#connection = new Connection(new TransportChoice(addresses, { ...options, storageKey }), {
      onOpen: () => this.#sendGreeting(),
      onMessage: (frame) => this.#onFrame(frame),
      isAwaitingAnswer: () => this.busy,
      onDisconnect: () => this.#onDisconnect(),
      onGiveUp: (code, error) => this.#onGiveUp(code, error),
      onStateChange: () => this.#emit("state"),
    });
  }

  /** The state of the connection: {@link import("./connection.js").ConnectionState}. */
  get state() {
    return this.#connection.state;
  }

  /**
   * How the client is connected: `websocket`, `events` (an event stream) or `request` (one request
   * for each question).
   */
  get transport() {
    return this.#connection.transport;
  }

  /**
   * The time of the next attempt to connect, in milliseconds since the epoch; 0 if none is planned.
   */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** The close code of the last connection; 0 before the first one ended. */
  get closeCode() {
    return this.#connection.closeCode;
  }

  /** Questions and answers, oldest first. */
  get turns() {
    return this.#transcript.turns;
  }

  /** Whether the server may have messages older than `turns`. */
  get hasEarlier() {
    return this.#transcript.hasEarlier;
  }

  /** Whether a question is being sent or answered. Only one can be. */
  get busy() {
    return this.#active !== null;
  }

  /** Earlier conversations of this browser, newest first, without the current one. */
  get conversations() {
    return this.#conversations.all;
  }

  /**
   * Calls `listener` with the detail of each event. Returns a function that ends this.
   * @template {keyof ChatEvents} K
   * @param {K} type @param {(detail: ChatEvents[K]) => void} listener
   */
  on(type, listener) {
    const onEvent = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, onEvent);
    return () => this.removeEventListener(type, onEvent);
  }

  /** Connects now, also if a later attempt is planned or the connection is closed. */
  connect() {
    if (this.state === "closed" && this.closeCode === 4409) this.#invalidatePosition();
    this.#connection.connect();
  }

  /** Closes the connection and removes all listeners. The session stays stored. */
  close() {
    this.#clearDeferred();
    this.#connection.close();
  }

  /**
   * Asks a question, now or as soon as there is a connection. Returns `null` while another one is
   * being answered.
   * @param {string} question
   * @param {string} [id] the id of an earlier attempt that was not accepted
   * @returns {Turn | null}
   */
  ask(question, id = newId()) {
    if (this.#active) return null;
    const turn = newTurn({ id, question, mode: this.session?.mode });
    this.#active = turn;
    this.turns.push(turn);
    this.#store.update({ unsent: { id, question, at: Date.now() } });
    this.#emit("turn", { turn, change: "added" });
    this.#sendQuestionOrConnect();
    return turn;
  }

  /**
   * Asks a question, and resolves with the whole answer. Rejects with a `ChatError`, or with the
   * reason of `signal`. Retries what can succeed soon.
   * @param {string} question
   * @param {import("./ask-and-wait.js").AskOptions} [options]
   */
  async askAndWait(question, options = {}) {
    // For programs; the chat page does not load it.
    const { askAndWait } = await import("./ask-and-wait.js");
    return askAndWait(this, question, options);
  }

  /**
   * Asks a question without an answer again. If it was not accepted, it keeps its id, so that it is
   * not answered twice.
   * @param {Turn} turn
   */
  askAgain(turn) {
    if (this.#active) return null;
    if (turn.turnId) return this.regenerate() ?? this.ask(turn.question);
    this.#transcript.remove(turn);
    this.#emit("transcript");
    // The server knows the id with another text.
    return this.ask(turn.question, turn.error?.code === "DUPLICATE_ID" ? newId() : turn.id);
  }

  /** Whether another answer to this turn can be requested now. @param {Turn} turn */
  canRegenerate(turn) {
    return !this.#active && turn === this.turns.at(-1) && Boolean(turn.turnId) && !turn.past;
  }

  /**
   * Requests another answer to the last question. Returns `null` if there is none, or while one is
   * being answered.
   */
  regenerate() {
    const last = this.turns.at(-1);
    if (!last || !this.canRegenerate(last)) return null;
    const turn = newTurn({ id: newId(), question: last.question, mode: this.session?.mode });
    turn.replaces = last;
    this.#transcript.replace(last, turn);
    this.#active = turn;
    this.#emit("transcript");
    this.#sendQuestionOrConnect();
    return turn;
  }

  /**
   * Rates an answer; `null` removes the rating. Returns false if the rating could not be sent.
   * @param {Turn} turn @param {"up" | "down" | null} rating
   * @param {string} [comment] at most 500 characters
   */
  rate(turn, rating, comment) {
    const { turnId } = turn;
    if (!turnId || turn.past || this.state !== "open" || this.#ratings.isFull) return false;
    return this.#send(this.#ratings.add(Object.assign(turn, { turnId }), rating, comment));
  }

  /**
   * Asks the server to delete the conversation, then starts a new one. Returns false if the request
   * could not be sent.
   */
  forget() {
    return this.state === "open" && this.#send({ type: "forget" });
  }

  /** Stops the current answer, or withdraws a question that is not sent yet. */
  cancel() {
    const turn = this.#active;
    if (!turn) return;
    if (this.state === "open") {
      this.#cancelSent = true;
      const seen = turn.turnId && !turn.uncertain && { turn_id: turn.turnId, seen_seq: turn.seq };
      this.#send({ type: "cancel", ...seen });
    } else if (turn.turnId) {
      this.#cancelAfterResume = true;
    } else if (turn.replaces) {
      this.#undoRegenerate(turn, turn.replaces);
    } else {
      this.#store.update({ unsent: undefined });
      this.#finish(turn, "cancelled");
    }
  }

  /** Leaves this conversation and starts a new one. The old one is kept in `conversations`. */
  startOver() {
    this.cancel();
    this.#keepConversation();
    this.#discardSession();
    this.connect();
  }

  /**
   * Leaves this conversation and continues one of `conversations`. Returns false if it is not kept.
   * @param {string} sessionId
   */
  openConversation(sessionId) {
    const conversation = this.#conversations.find(sessionId);
    if (!conversation) return false;
    this.cancel();
    this.#keepConversation();
    this.#discardSession();
    this.#conversations.remove(sessionId);
    this.#emit("conversations");
    this.#store.begin(conversation);
    this.#opening = true;
    this.connect();
    return true;
  }

  /**
   * Deletes the current conversation or one of `conversations`. Resolves to whether the server no
   * longer has it; otherwise it stays in the list.
   * @param {string} sessionId
   */
  async deleteConversation(sessionId) {
    const current = this.session ?? this.#store.read();
    const { forgetCurrent, forgetSession } = await import("./deletion.js");
    if (sessionId === current?.session_id) return forgetCurrent(this);
    const conversation = this.#conversations.find(sessionId);
    if (!conversation) return true;
    const isGone = await forgetSession((handlers) => this.#connection.openOther(handlers), conversation);
    if (isGone) {
      this.#conversations.remove(sessionId);
      this.#emit("conversations");
    }
    return isGone;
  }

  /** Deletes the current conversation and all others. Resolves to whether all are deleted. */
  async deleteAllConversations() {
    const { forgetAll } = await import("./deletion.js");
    return forgetAll(this);
  }

  /** Requests messages older than the first of `turns`. They arrive with a `transcript` event. */
  loadEarlier() {
    const first = this.turns.find((turn) => turn.turnId && !turn.past);
    if (!first || this.#loadingEarlier || this.state !== "open") return;
    this.#loadingEarlier = true;
    this.#send({ type: "history", before: first.turnId, limit: 100 });
  }

  // The connection.

  /** Sends `resume` for the session in memory or in the storage, or else `start`. */
  #sendGreeting() {
    this.#awaitingSession = true;
    const stored = this.#store.read();
    const known = this.session ?? stored;
    if (!known?.session_id || !known.resume_token) {
      this.#sentCursor = null;
      this.#send({ type: "start" });
      return;
    }
    this.#sentCursor = this.#transcript.cursor(stored?.turn_id);
    this.#send({
      type: "resume",
      session_id: known.session_id,
      resume_token: known.resume_token,
      ...(this.#sentCursor && { cursor: this.#sentCursor }),
    });
  }

  /**
   * Makes the next connection load the history, because another window may have continued the
   * conversation.
   */
  #invalidatePosition() {
    this.#transcript.invalidate();
    if (this.#active?.turnId) this.#active = null;
    this.session = null;
  }

  /** @param {object} frame */
  #send(frame) {
    return this.#connection.send(frame);
  }

  #sendQuestion() {
    const turn = this.#active;
    if (!turn || turn.turnId) return;
    if (turn.replaces) this.#send({ type: "regenerate", id: turn.id });
    else this.#send({ type: "question", id: turn.id, question: turn.question });
  }

  #sendQuestionOrConnect() {
    if (this.state === "open") this.#sendQuestion();
    else if (this.state === "closed" || this.state === "away") this.connect();
  }

  #resendRatings() {
    for (const frame of this.#ratings.resend((turnId) => this.#transcript.find(turnId))) this.#send(frame);
  }

  #sendDeferred() {
    this.#clearDeferred();
    if (this.state === "open") this.#sendQuestion();
  }

  #clearDeferred() {
    clearTimeout(this.#deferredTimer);
    this.#questionDeferred = false;
  }

  /** Adds the current conversation to the list of earlier ones, unless it is empty. */
  #keepConversation() {
    const known = this.session ?? this.#store.read();
    const first = this.turns.find((turn) => turn.turnId && !turn.past);
    if (!known?.session_id || !known.resume_token || (this.session && !first)) return;
    this.#conversations.add(known, first?.question ?? "");
    this.#emit("conversations");
  }

  /** Forgets the session, in memory and in the storage. */
  #discardSession() {
    this.#clearDeferred();
    this.#connection.reset();
    this.#opening = this.#awaitingSession = false;
    this.#cancelSent = this.#cancelAfterResume = this.#loadingEarlier = false;
    this.#regenerations = 0;
    this.#store.clear();
    this.session = null;
    this.#transcript.clear();
    this.#ratings.clear();
    this.#active = null;
    this.#emit("transcript");
  }

  #onDisconnect() {
    this.#clearDeferred();
    this.#awaitingSession = false;
    this.#cancelSent = false;
    this.#loadingEarlier = false;
  }

  /** @param {number} code @param {ErrorFrame} [error] */
  #onGiveUp(code, error) {
    if (error) this.#emit("error", error);
    const turn = this.#active;
    if (!turn) return;
    this.#store.update({ unsent: undefined });
    if (error) return this.#fail(turn, turnError(error));
    // The answer continues in the window that has the session now.
    if (code === 4409 && turn.turnId) return this.#finish(turn, "interrupted");
    const message =
      code === 1009 ? "The question is too long to send." : "The connection was closed before the question was answered.";
    this.#fail(turn, { code: "CONNECTION_CLOSED", message, retryable: code !== 1009, retryAt: 0 });
  }

  /**
   * @template {keyof ChatEvents} K
   * @param {K} type @param {ChatEvents[K]} [detail]
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Frames of the server.

  /** @param {any} frame */
  #onFrame(frame) {
    switch (frame?.type) {
      case "session":
        this.#onSession(frame);
        break;
      case "accepted":
        this.#onAccepted(frame);
        break;
      case "queued":
        this.#onQueued(frame);
        break;
      case "thinking":
        this.#onThinking(frame);
        break;
      case "delta":
        this.#onDelta(frame);
        break;
      case "reset":
        this.#onReset(frame);
        break;
      case "done":
        this.#onDone(frame);
        break;
      case "error":
        this.#onError(frame);
        break;
      case "history":
        this.#onHistory(frame);
        break;
      case "feedback_saved":
        this.#ratings.confirm(frame.id);
        break;
      case "forgotten":
        this.#discardSession();
        this.#emit("forgotten");
        this.connect();
        break;
      case "notice":
        this.#onNotice(frame);
        break;
    }
  }

  /** @param {{code: string, message: string}} frame */
  #onNotice(frame) {
    const mode = MODES[frame.code];
    // The notice precedes the first answer that it applies to.
    for (const changed of mode ? [this.session, this.#active] : []) if (changed) changed.mode = mode;
    this.#emit("notice", frame);
  }

  /** @param {Session} frame */
  #onSession(frame) {
    this.session = frame;
    this.#awaitingSession = false;
    this.#opening = false;
    const answering = this.#active?.turnId ?? this.#store.read()?.turn_id;
    const unsent = this.#unsentQuestion();
    if (frame.resumed) this.#restoreTurns(frame, unsent);
    else this.#startSession(unsent);
    this.#store.begin(frame, this.#active?.turnId ?? undefined, unsent?.replaces ? null : unsent);
    this.#connection.markOpen();
    this.#emit("session", frame);
    this.#resendRatings();
    this.#sendQuestion();
    if (this.#cancelAfterResume) this.cancel();
    this.#cancelAfterResume = false;
    // The answer ended while there was no connection.
    const last = this.turns.findLast((turn) => turn.turnId);
    if (last?.turnId === answering && last?.status === "interrupted" && !last.past) this.#onInterrupted(last);
  }

  /**
   * Returns the question that is not sent yet: of this page, or stored by the page before a reload.
   */
  #unsentQuestion() {
    if (this.#active && !this.#active.turnId) return this.#active;
    const stored = this.turns.length === 0 ? this.#store.read()?.unsent : undefined;
    if (!stored || Date.now() - stored.at > UNSENT_LIFETIME_MS) return null;
    return newTurn({ id: stored.id, question: stored.question, mode: this.session?.mode });
  }

  /** @param {Turn | null} unsent */
  #startSession(unsent) {
    // A new conversation has no answer to replace.
    if (unsent) unsent.replaces = null;
    this.#active = unsent;
    this.#ratings.clear();
    if (this.#transcript.end(unsent)) this.#emit("ended");
    this.#emit("transcript");
  }

  /** @param {Session} frame @param {Turn | null} unsent */
  #restoreTurns(frame, unsent) {
    const continued = frame.recovered ? this.#sentCursor?.turn_id : undefined;
    if (continued && this.turns.some((turn) => turn.turnId === continued)) return;

    const { last, answering, lost } = this.#transcript.restore(frame, continued);
    this.#active = answering ? (last ?? null) : null;
    if (unsent) {
      if (last && unsent.replaces?.turnId === last.turnId) this.#transcript.remove(last);
      this.turns.push(unsent);
      this.#active = unsent;
    }
    this.#emit("transcript");
    for (const turn of lost) this.#emit("lost", { turn, lostChars: turn.lostChars });
  }

  /**
   * @param {{id?: string, turn_id: string, duplicate?: boolean, mode?: "live" | "excerpts", remaining?: number}} frame
   */
  #onAccepted(frame) {
    const known = this.#transcript.find(frame.turn_id);
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    const turn = unsent && (!frame.id || frame.id === unsent.id) ? unsent : known;
    if (!turn) return;
    if (known && known !== turn) {
      // The turn is already known from the history or from its deltas, so merge the two.
      Object.assign(turn, { answer: known.answer, seq: known.seq });
      this.#transcript.remove(known);
      this.#emit("transcript");
    }
    Object.assign(turn, { turnId: frame.turn_id, status: "accepted", mode: frame.mode ?? turn.mode });
    turn.uncertain = Boolean(frame.duplicate) && turn.answer !== "";
    this.#active = turn;
    this.#noteRemaining(frame.remaining);
    this.#extendSession();
    this.#store.update({ unsent: undefined, turn_id: frame.turn_id, expires_at: this.session?.expires_at });
    this.#emit("turn", { turn, change: "accepted" });
  }

  /** @param {number} [remaining] the number of questions left */
  #noteRemaining(remaining) {
    if (this.session?.limits && remaining !== undefined) this.session.limits.remaining = remaining;
  }

  /** Notes that a question extends the life of the session. */
  #extendSession() {
    if (!this.session?.expires_at) return;
    // The first digits of the id are the time of the start.
    const startedAt = parseInt(this.session.session_id.replaceAll("-", "").slice(0, 12), 16);
    const lifetimeMs = Date.parse(this.session.expires_at) - startedAt;
    if (lifetimeMs > 0) this.session.expires_at = new Date(Date.now() + lifetimeMs).toISOString();
  }

  /** @param {{turn_id: string, position?: number}} frame */
  #onQueued(frame) {
    const turn = this.#transcript.find(frame.turn_id);
    if (!turn) return;
    Object.assign(turn, { status: "queued", position: frame.position ?? null });
    this.#emit("turn", { turn, change: "queued" });
  }

  /** @param {{turn_id: string}} frame */
  #onThinking(frame) {
    const turn = this.#transcript.find(frame.turn_id);
    // Another attempt at the answer may think again.
    if (!turn || turn.thinking || turn.answer) return;
    Object.assign(turn, { status: "accepted", position: null, thinking: true });
    this.#emit("turn", { turn, change: "thinking" });
  }

  /**
   * @param {{turn_id: string, seq: number, text: string, replay?: boolean, mode?: "live" |
   *   "excerpts"}} frame
   */
  #onDelta(frame) {
    let turn = this.#transcript.find(frame.turn_id);
    if (!turn) {
      const unsent = this.#active && !this.#active.turnId ? this.#active : null;
      turn = this.#transcript.insert(frame.turn_id, unsent, this.session?.mode);
      this.#emit("transcript");
    }
    if (turn.uncertain) {
      turn.uncertain = false;
      if (restartsAnswer(turn, frame)) {
        Object.assign(turn, { answer: "", seq: 0 });
        this.#emit("turn", { turn, change: "reset" });
      }
    } else if (frame.seq <= turn.seq) {
      return;
    }
    if (this.#cancelSent && turn === this.#active) {
      if (frame.seq > turn.late.seq) turn.late = { text: turn.late.text + frame.text, seq: frame.seq };
      return;
    }
    turn.answer += frame.text;
    turn.seq = frame.seq;
    turn.thinking = false;
    if (frame.mode) turn.mode = frame.mode;
    turn.status = "streaming";
    this.#active ??= turn;
    this.#emit("turn", { turn, change: "delta" });
  }

  /** @param {{turn_id: string}} frame */
  #onReset(frame) {
    const turn = this.#transcript.find(frame.turn_id);
    if (!turn) return;
    Object.assign(turn, { answer: "", seq: 0, status: "accepted", uncertain: false, late: { text: "", seq: 0 } });
    this.#emit("turn", { turn, change: "reset" });
  }

  /**
   * @param {{turn_id: string, status: TurnStatus, mode?: "live" | "excerpts", model?: string,
   *   remaining?: number}} frame
   */
  #onDone(frame) {
    this.#noteRemaining(frame.remaining);
    const turn = this.#transcript.find(frame.turn_id);
    if (!turn) return;
    if (frame.mode) turn.mode = frame.mode;
    turn.model = frame.model ?? null;
    if (frame.status !== "cancelled" && turn.late.seq > turn.seq) {
      // The answer completed before the server received the `cancel`.
      turn.answer += turn.late.text;
      turn.seq = turn.late.seq;
    }
    const hasLost = frame.status === "interrupted" && keepWhatWasRead(turn);
    this.#finish(turn, frame.status);
    if (hasLost) this.#emit("lost", { turn, lostChars: turn.lostChars });
    if (frame.status === "interrupted") this.#onInterrupted(turn);
    else if (frame.status !== "failed") this.#regenerations = 0;
  }

  /** @param {Turn} turn */
  #onInterrupted(turn) {
    this.#emit("interrupted", { turn });
    if (!this.#regenerateInterrupted || !this.canRegenerate(turn) || this.#regenerations >= MAX_REGENERATIONS) return;
    this.#regenerations += 1;
    this.regenerate();
  }

  /** @param {ErrorFrame} frame */
  #onError(frame) {
    if (this.#awaitingSession && !frame.id) return this.#onGreetingRejected(frame);
    if (this.#loadingEarlier && !frame.id && !frame.turn_id) this.#loadingEarlier = false;
    const error = turnError(frame);
    const rejected = frame.id ? this.#ratings.reject(frame.id, (turnId) => this.#transcript.find(turnId)) : null;
    if (rejected) {
      if (rejected.turn) this.#emit("turn", { turn: rejected.turn, change: "rating" });
      this.#emit("error", frame);
      return;
    }
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    if (unsent && frame.id === unsent.id) {
      this.#onQuestionRejected(unsent, error);
    } else if (this.#cancelSent && (!frame.turn_id || frame.code === "NO_SUCH_TURN")) {
      // The answer had already ended, so the visitor need not know.
      this.#cancelSent = false;
    } else if (frame.turn_id && this.#transcript.find(frame.turn_id)) {
      // A `done` frame that ends the turn follows.
      const turn = /** @type {Turn} */ (this.#transcript.find(frame.turn_id));
      turn.error = error;
      this.#emit("turn", { turn, change: "error" });
    } else {
      this.#emit("error", frame);
    }
  }

  /** @param {ErrorFrame} frame */
  #onGreetingRejected(frame) {
    if (frame.code === "SESSION_NOT_FOUND" || frame.code === "SESSION_EXPIRED") {
      if (this.#opening) this.#emit("ended");
      this.#opening = false;
      const unsent = this.#unsentQuestion();
      this.session = null;
      this.#store.clear();
      if (unsent && !this.#active) {
        this.turns.push(unsent);
        this.#active = unsent;
      }
      this.#sentCursor = null;
      this.#send({ type: "start" });
      return;
    }
    if (frame.retryable) this.#emit("error", frame);
    this.#connection.reject(frame);
  }

  /** @param {Turn} turn @param {TurnError} error */
  #onQuestionRejected(turn, error) {
    if (error.code === "SESSION_EXPIRED") return this.#startAgain();
    const isTemporary = error.code === "TURN_IN_PROGRESS" || error.code === "SHUTTING_DOWN";
    if (!isTemporary && turn.replaces) {
      this.#undoRegenerate(turn, turn.replaces);
      this.#emit("error", error);
      return;
    }
    if (!isTemporary) {
      this.#store.update({ unsent: undefined });
      this.#fail(turn, error);
      return;
    }
    // The earlier answer ends soon, or the server restarts and the next connection sends the
    // question.
    this.#questionDeferred = true;
    clearTimeout(this.#deferredTimer);
    const deferMs = Math.min(Math.max(error.retryAt - Date.now(), 1_000), MAX_DEFER_MS);
    this.#deferredTimer = setTimeout(() => this.#sendDeferred(), deferMs);
  }

  /** Starts another session, in which the question is sent again. */
  #startAgain() {
    this.#connection.reset();
    this.session = null;
    this.#store.clear();
    this.connect();
  }

  /** @param {{messages?: HistoryMessage[], more?: boolean}} frame */
  #onHistory(frame) {
    this.#loadingEarlier = false;
    this.#transcript.prepend(frame.messages ?? [], Boolean(frame.more), this.session?.mode);
    this.#emit("transcript");
  }

  /**
   * Restores the answer that was to be replaced.
   * @param {Turn} turn @param {Turn} earlier
   */
  #undoRegenerate(turn, earlier) {
    this.#transcript.replace(turn, earlier);
    this.#active = null;
    this.#emit("transcript");
  }

  /** @param {Turn} turn @param {TurnError} error */
  #fail(turn, error) {
    turn.error = error;
    this.#finish(turn, "failed");
  }

  /** @param {Turn} turn @param {TurnStatus} status */
  #finish(turn, status) {
    turn.status = status;
    turn.position = null;
    turn.thinking = false;
    this.#cancelSent = false;
    this.#cancelAfterResume = false;
    if (this.#active === turn) {
      this.#active = null;
      this.#store.update({ turn_id: undefined });
    }
    this.#emit("turn", { turn, change: "done" });
    // The question that waited for this answer can be sent without waiting for its timer.
    if (this.#questionDeferred) this.#sendDeferred();
  }
}

/** @param {ErrorFrame} frame @returns {TurnError} */
function turnError({ code, message, retryable = false, retry_after_ms }) {
  return { code, message, retryable, retryAt: retry_after_ms ? Date.now() + retry_after_ms : 0 };
}

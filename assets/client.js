/** The client of the resume chat protocol: one class that keeps a conversation whole over a network that is not. */

import { Connection } from "./connection.js";
import { Ratings } from "./ratings.js";
import { SessionStore } from "./session-store.js";
import { Transcript } from "./transcript.js";
import { beginsAnew, newId, newTurn } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").TurnError} TurnError */
/** @typedef {import("./turn.js").TurnStatus} TurnStatus */
/** @typedef {import("./turn.js").HistoryMessage} HistoryMessage */

/**
 * @typedef {object} Session
 * @property {string} session_id
 * @property {string} resume_token
 * @property {string} [expires_at]
 * @property {boolean} resumed
 * @property {boolean} [recovered]
 * @property {{max_question_chars?: number, requests_per_minute?: number, remaining?: number}} [limits]
 * @property {{name?: string, revision?: string}} [resume]
 * @property {string[]} [suggestions]
 * @property {"live" | "excerpts"} [mode]
 * @property {HistoryMessage[]} [history]
 * @property {boolean} [more]
 *
 * @typedef {object} ChatClientOptions
 * @property {string | URL} url         of the WebSocket, e.g. `wss://resume.example/ws/chat`
 * @property {string} [storageKey]      where the session is kept between visits
 * @property {Storage | null} [storage] defaults to `localStorage`; `null` keeps nothing
 */

/** A question that could not be sent is sent after a reload, but not to somebody who comes back the next day. */
const UNSENT_LIFETIME_MS = 10 * 60_000;

/**
 * A conversation with one server.
 *
 * Events, all `CustomEvent`s: `state` (the connection changed), `session` (detail: {@link Session}), `transcript` (`turns` was
 * replaced or reordered), `turn` (detail: `{turn, change}` with `change` one of `added`, `accepted`, `queued`, `delta`, `reset`, `done`,
 * `rating`, `error`), `ended` (the session is gone and a new one began), `forgotten` (the server has deleted the conversation), `notice` and `error` (detail: the frame; errors that belong to
 * a question are on its turn instead).
 */
export class ChatClient extends EventTarget {
  /** @type {Session | null} */
  session = null;

  /** @type {Connection} */ #connection;
  /** @type {SessionStore} */ #store;
  #transcript = new Transcript();
  #ratings = new Ratings();
  /** @type {Turn | null} The question that is on its way or being answered. */ #active = null;
  /** @type {{turn_id: string, seq: number} | null} What the last `resume` asked to continue from. */ #cursorSent = null;
  #cancelSent = false;
  /** Whether the person pressed stop while there was nobody to tell. */ #cancelOwed = false;
  /** Whether the question was put off because an earlier answer is still being written. */ #deferred = false;
  #earlierAsked = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #resendTimer;

  /** @param {ChatClientOptions} options */
  constructor({ url, storageKey, storage }) {
    super();
    this.#store = new SessionStore(storageKey ?? `resume-chat:${url}`, storage);
    this.#connection = new Connection(String(url), {
      greet: () => this.#greet(),
      hear: (frame) => this.#hear(frame),
      waits: () => this.busy,
      lose: () => this.#onLost(),
      giveUp: (code) => this.#onGivenUp(code),
      change: () => this.#emit("state"),
    });
  }

  /** How the connection stands: {@link import("./connection.js").ConnectionState}. */
  get state() {
    return this.#connection.state;
  }

  /** When the next attempt to connect is made, in milliseconds since the epoch; 0 when none is planned. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** The code the last connection was closed with; 0 before there was one. */
  get closeCode() {
    return this.#connection.closeCode;
  }

  /** What was asked and answered, oldest first. */
  get turns() {
    return this.#transcript.turns;
  }

  /** Whether the server may have messages older than `turns`. */
  get hasEarlier() {
    return this.#transcript.hasEarlier;
  }

  /** Whether a question is on its way or being answered; only one can be. */
  get busy() {
    return this.#active !== null;
  }

  /** Connects now, also when a later attempt was planned or the connection was closed for good. */
  connect() {
    if (this.state === "closed" && this.closeCode === 4409) this.#forgetPlace();
    this.#connection.connect();
  }

  /** Ends the connection and lets go of everything; the conversation stays stored. */
  close() {
    this.#forgetDeferred();
    this.#connection.close();
  }

  /**
   * Asks a question, now or as soon as there is a connection. Answers `null` while another one is being answered.
   * @param {string} question
   * @param {string} [id] of an earlier attempt that was never accepted
   * @returns {Turn | null}
   */
  ask(question, id = newId()) {
    if (this.#active) return null;
    const turn = newTurn({ id, question, mode: this.session?.mode });
    this.#active = turn;
    this.turns.push(turn);
    this.#store.update({ unsent: { id, question, at: Date.now() } });
    this.#emit("turn", { turn, change: "added" });
    if (this.state === "open") this.#sendQuestion();
    else if (this.state === "closed" || this.state === "away") this.connect();
    return turn;
  }

  /**
   * Asks again what got no answer. A question that was never accepted keeps its id, so that it cannot be answered twice.
   * @param {Turn} turn
   */
  askAgain(turn) {
    if (this.#active) return null;
    if (turn.turnId) return this.regenerate() ?? this.ask(turn.question);
    this.#transcript.remove(turn);
    this.#emit("transcript");
    return this.ask(turn.question, turn.id);
  }

  /** Has the last question answered anew, in place of its answer. Answers `null` when there is none, or while one is being answered. */
  regenerate() {
    const last = this.turns.at(-1);
    if (this.#active || !last?.turnId || last.past) return null;
    const turn = newTurn({ id: newId(), question: last.question, mode: this.session?.mode });
    turn.replaces = last;
    this.#transcript.replace(last, turn);
    this.#active = turn;
    this.#emit("transcript");
    if (this.state === "open") this.#sendQuestion();
    else if (this.state === "closed" || this.state === "away") this.connect();
    return turn;
  }

  /**
   * Says what the person thinks of an answer; `null` takes it back. Answers whether it could be said.
   * @param {Turn} turn @param {"up" | "down" | null} rating
   */
  rate(turn, rating) {
    const { turnId } = turn;
    if (!turnId || turn.past || this.state !== "open" || this.#ratings.isFull) return false;
    return this.#send(this.#ratings.note(Object.assign(turn, { turnId }), rating));
  }

  /** Has the server delete the conversation, and begins a new one when that is done. Answers whether it could be asked. */
  forget() {
    return this.state === "open" && this.#send({ type: "forget" });
  }

  /** Stops the answer being written. A question that was not sent yet is taken back. */
  cancel() {
    const turn = this.#active;
    if (!turn) return;
    if (this.state === "open") {
      this.#cancelSent = true;
      const seen = turn.turnId && !turn.uncertain && { turn_id: turn.turnId, seen_seq: turn.seq };
      this.#send({ type: "cancel", ...seen });
    } else if (turn.turnId) {
      this.#cancelOwed = true;
    } else if (turn.replaces) {
      this.#putBack(turn, turn.replaces);
    } else {
      this.#store.update({ unsent: undefined });
      this.#finish(turn, "cancelled");
    }
  }

  /** Leaves this conversation and begins a new one. */
  startOver() {
    this.cancel();
    this.#leave();
    this.connect();
  }

  /** Asks for messages older than the first of `turns`; they arrive with a `transcript` event. */
  loadEarlier() {
    const first = this.turns.find((turn) => turn.turnId && !turn.past);
    if (!first || this.#earlierAsked || this.state !== "open") return;
    this.#earlierAsked = true;
    this.#send({ type: "history", before: first.turnId, limit: 100 });
  }

  // The connection.

  #greet() {
    const kept = this.#store.read();
    const known = this.session ?? kept;
    if (!known?.session_id || !known.resume_token) {
      this.#cursorSent = null;
      this.#send({ type: "start" });
      return;
    }
    this.#cursorSent = this.#transcript.cursor(kept?.turn_id);
    this.#send({
      type: "resume",
      session_id: known.session_id,
      resume_token: known.resume_token,
      ...(this.#cursorSent && { cursor: this.#cursorSent }),
    });
  }

  /** Another window may have carried on with the conversation. */
  #forgetPlace() {
    this.#transcript.forgetPlace();
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

  #sendRatings() {
    for (const frame of this.#ratings.again((turnId) => this.#transcript.find(turnId))) this.#send(frame);
  }

  #sendDeferred() {
    this.#forgetDeferred();
    if (this.state === "open") this.#sendQuestion();
  }

  #forgetDeferred() {
    clearTimeout(this.#resendTimer);
    this.#deferred = false;
  }

  #leave() {
    this.#forgetDeferred();
    this.#connection.hangUp();
    this.#store.clear();
    this.session = null;
    this.#transcript.clear();
    this.#ratings.clear();
    this.#active = null;
    this.#emit("transcript");
  }

  #onLost() {
    this.#forgetDeferred();
    this.#cancelSent = false;
    this.#earlierAsked = false;
  }

  /** @param {number} code */
  #onGivenUp(code) {
    const turn = this.#active;
    if (!turn || code === 1000 || code === 1001) return;
    this.#store.update({ unsent: undefined });
    // Opened in another window, the answer goes on there; here it just ends.
    if (code === 4409 && turn.turnId) return this.#finish(turn, "interrupted");
    const message = code === 1009 ? "The question is too long to be sent." : "The connection was closed before an answer came.";
    this.#fail(turn, { code: "CONNECTION_CLOSED", message, retryable: code !== 1009, retryAt: 0 });
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // What the server says.

  /** @param {any} frame */
  #hear(frame) {
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
        this.#ratings.saved(frame.id);
        break;
      case "forgotten":
        this.#leave();
        this.#emit("forgotten");
        this.connect();
        break;
      case "notice":
        this.#emit("notice", frame);
        break;
    }
  }

  /** @param {Session} frame */
  #onSession(frame) {
    this.session = frame;
    const unsent = this.#unsent();
    if (frame.resumed) this.#restore(frame, unsent);
    else this.#begin(unsent);
    this.#store.begin(frame, this.#active?.turnId ?? undefined, unsent?.replaces ? null : unsent);
    this.#connection.greeted();
    this.#emit("session", frame);
    this.#sendRatings();
    this.#sendQuestion();
    if (this.#cancelOwed) this.cancel();
    this.#cancelOwed = false;
  }

  /** The question that still has to be sent: of this page, or of the one that was reloaded. */
  #unsent() {
    if (this.#active && !this.#active.turnId) return this.#active;
    const kept = this.turns.length === 0 ? this.#store.read()?.unsent : undefined;
    if (!kept || Date.now() - kept.at > UNSENT_LIFETIME_MS) return null;
    return newTurn({ id: kept.id, question: kept.question, mode: this.session?.mode });
  }

  /** @param {Turn | null} unsent */
  #begin(unsent) {
    // In a new conversation there is no answer to take the place of.
    if (unsent) unsent.replaces = null;
    this.#active = unsent;
    this.#ratings.clear();
    if (this.#transcript.end(unsent)) this.#emit("ended");
    this.#emit("transcript");
  }

  /** @param {Session} frame @param {Turn | null} unsent */
  #restore(frame, unsent) {
    const continued = frame.recovered ? this.#cursorSent?.turn_id : undefined;
    if (continued && this.turns.some((turn) => turn.turnId === continued)) return;

    const { last, answering } = this.#transcript.restore(frame, continued);
    this.#active = answering ? (last ?? null) : null;
    if (unsent) {
      if (last && unsent.replaces?.turnId === last.turnId) this.#transcript.remove(last);
      this.turns.push(unsent);
      this.#active = unsent;
    }
    this.#emit("transcript");
  }

  /** @param {{id?: string, turn_id: string, duplicate?: boolean, mode?: "live" | "excerpts"}} frame */
  #onAccepted(frame) {
    const known = this.#transcript.find(frame.turn_id);
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    const turn = unsent && (!frame.id || frame.id === unsent.id) ? unsent : known;
    if (!turn) return;
    if (known && known !== turn) {
      // The server already told of this turn, in the history or while catching up: two views of one turn become one.
      Object.assign(turn, { answer: known.answer, seq: known.seq });
      this.#transcript.remove(known);
      this.#emit("transcript");
    }
    Object.assign(turn, { turnId: frame.turn_id, status: "accepted", mode: frame.mode ?? turn.mode });
    turn.uncertain = Boolean(frame.duplicate) && turn.answer !== "";
    this.#active = turn;
    this.#store.update({ unsent: undefined, turn_id: frame.turn_id });
    this.#emit("turn", { turn, change: "accepted" });
  }

  /** @param {{turn_id: string, position?: number}} frame */
  #onQueued(frame) {
    const turn = this.#transcript.find(frame.turn_id);
    if (!turn) return;
    Object.assign(turn, { status: "queued", position: frame.position ?? null });
    this.#emit("turn", { turn, change: "queued" });
  }

  /** @param {{turn_id: string, seq: number, text: string, replay?: boolean, mode?: "live" | "excerpts"}} frame */
  #onDelta(frame) {
    let turn = this.#transcript.find(frame.turn_id);
    if (!turn) {
      const unsent = this.#active && !this.#active.turnId ? this.#active : null;
      turn = this.#transcript.insert(frame.turn_id, unsent, this.session?.mode);
      this.#emit("transcript");
    }
    if (turn.uncertain) {
      turn.uncertain = false;
      if (beginsAnew(turn, frame)) {
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

  /** @param {{turn_id: string, status: TurnStatus, mode?: "live" | "excerpts"}} frame */
  #onDone(frame) {
    const turn = this.#transcript.find(frame.turn_id);
    if (!turn) return;
    if (frame.mode) turn.mode = frame.mode;
    if (frame.status !== "cancelled" && turn.late.seq > turn.seq) {
      // It was whole before the server heard of the stop.
      turn.answer += turn.late.text;
      turn.seq = turn.late.seq;
    }
    this.#finish(turn, frame.status);
  }

  /** @param {{code: string, message: string, retryable?: boolean, retry_after_ms?: number, id?: string, turn_id?: string}} frame */
  #onError(frame) {
    if (frame.retry_after_ms) this.#connection.patienceMs = frame.retry_after_ms;
    if (this.state === "connecting") return this.#onRefusedGreeting(frame);
    if (this.#earlierAsked && !frame.id && !frame.turn_id) this.#earlierAsked = false;
    const error = {
      code: frame.code,
      message: frame.message,
      retryable: frame.retryable ?? false,
      retryAt: frame.retry_after_ms ? Date.now() + frame.retry_after_ms : 0,
    };
    const rated = frame.id ? this.#ratings.refused(frame.id, (turnId) => this.#transcript.find(turnId)) : null;
    if (rated) {
      if (rated.turn) this.#emit("turn", { turn: rated.turn, change: "rating" });
      this.#emit("error", frame);
      return;
    }
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    if (unsent && frame.id === unsent.id) {
      this.#onRefusedQuestion(unsent, error);
    } else if (this.#cancelSent && (!frame.turn_id || frame.code === "NO_SUCH_TURN")) {
      // The answer was over already, or this server cannot stop one: nothing the person has to know.
      this.#cancelSent = false;
    } else if (frame.turn_id && this.#transcript.find(frame.turn_id)) {
      // The `done` that ends this turn comes next.
      const turn = /** @type {Turn} */ (this.#transcript.find(frame.turn_id));
      turn.error = error;
      this.#emit("turn", { turn, change: "error" });
    } else {
      this.#emit("error", frame);
    }
  }

  /** @param {{code: string, message: string, retryable?: boolean}} frame */
  #onRefusedGreeting(frame) {
    if (frame.code === "SESSION_NOT_FOUND" || frame.code === "SESSION_EXPIRED") {
      const unsent = this.#unsent();
      this.session = null;
      this.#store.clear();
      if (unsent && !this.#active) {
        this.turns.push(unsent);
        this.#active = unsent;
      }
      this.#cursorSent = null;
      this.#send({ type: "start" });
      return;
    }
    this.#emit("error", frame);
    this.#connection.lose(frame.retryable ? 1013 : 1000);
  }

  /** @param {Turn} turn @param {TurnError} error */
  #onRefusedQuestion(turn, error) {
    const later = error.code === "TURN_IN_PROGRESS" || error.code === "SHUTTING_DOWN";
    if (!later && turn.replaces) {
      this.#putBack(turn, turn.replaces);
      this.#emit("error", error);
      return;
    }
    if (!later) {
      this.#store.update({ unsent: undefined });
      this.#fail(turn, error);
      return;
    }
    // Both pass by themselves: the earlier answer ends, or the server restarts and the question goes out on the next connection.
    this.#deferred = true;
    clearTimeout(this.#resendTimer);
    this.#resendTimer = setTimeout(() => this.#sendDeferred(), Math.max(this.#connection.patienceMs, 1_000));
  }

  /** @param {{messages?: HistoryMessage[], more?: boolean}} frame */
  #onHistory(frame) {
    this.#earlierAsked = false;
    this.#transcript.prepend(frame.messages ?? [], Boolean(frame.more), this.session?.mode);
    this.#emit("transcript");
  }

  /**
   * An answer is not given anew after all: the earlier one still counts.
   * @param {Turn} turn @param {Turn} earlier
   */
  #putBack(turn, earlier) {
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
    this.#cancelSent = false;
    this.#cancelOwed = false;
    if (this.#active === turn) {
      this.#active = null;
      this.#store.update({ turn_id: undefined });
    }
    this.#emit("turn", { turn, change: "done" });
    // A question that had to wait for this answer goes out now rather than when its timer ends.
    if (this.#deferred) this.#sendDeferred();
  }
}

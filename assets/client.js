/** The client of the resume chat protocol: one class that keeps a conversation whole over a network that is not. */

import { SessionStore } from "./session-store.js";
import { FINAL, beginsAnew, newId, newTurn, turnsFrom } from "./turns.js";

/**
 * @typedef {"connecting" | "open" | "waiting" | "away" | "closed"} ConnectionState
 *   `waiting`: will reconnect by itself at `retryAt`; `away`: reconnects when the person is back; `closed`: only when asked to.
 *
 * @typedef {"sending" | "accepted" | "queued" | "streaming" | "complete" | "length" | "cancelled" | "interrupted" | "failed"} TurnStatus
 *
 * @typedef {object} TurnError
 * @property {string} code     one of the protocol's error codes, or `CONNECTION_CLOSED` when the client gave up
 * @property {string} message  a sentence for people
 * @property {boolean} retryable
 * @property {number} retryAt  when asking again can succeed, in milliseconds since the epoch; 0 when unknown
 *
 * @typedef {object} Turn
 * @property {string} id             the client's id of the question; makes sending it again harmless
 * @property {string | null} turnId  the server's id, once the question is accepted
 * @property {string} question
 * @property {string} answer         all of the answer shown so far
 * @property {number} seq            the last `seq` contained in `answer`
 * @property {TurnStatus} status
 * @property {"live" | "excerpts"} mode
 * @property {TurnError | null} error
 * @property {number | null} position    place in the queue while `queued`
 * @property {boolean} past          belongs to a session that is gone
 * @property {boolean} uncertain     the next delta may continue the answer or begin it anew
 * @property {{text: string, seq: number}} late  what came after the person had pressed stop; part of the answer only if it was whole
 * @property {Turn | null} replaces  the turn whose question is answered anew
 * @property {"up" | "down" | null} rating  what the person thinks of the answer
 *
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
 * @typedef {object} HistoryMessage
 * @property {string} turn_id
 * @property {string} role
 * @property {string} content
 * @property {string} [status]
 * @property {"live" | "excerpts"} [mode]
 * @property {string} [superseded_by]
 * @property {"up" | "down"} [rating]
 *
 * @typedef {object} ChatClientOptions
 * @property {string | URL} url         of the WebSocket, e.g. `wss://resume.example/ws/chat`
 * @property {string} [storageKey]      where the session is kept between visits
 * @property {Storage | null} [storage] defaults to `localStorage`; `null` keeps nothing
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
/** A question that could not be sent is sent after a reload, but not to somebody who comes back the next day. */
const UNSENT_LIFETIME_MS = 10 * 60_000;

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

/**
 * A conversation with one server.
 *
 * Events, all `CustomEvent`s: `state` (the connection changed), `session` (detail: {@link Session}), `transcript` (`turns` was
 * replaced or reordered), `turn` (detail: `{turn, change}` with `change` one of `added`, `accepted`, `queued`, `delta`, `reset`, `done`,
 * `error`), `ended` (the session is gone and a new one began), `forgotten` (the server has deleted the conversation), `notice` and `error` (detail: the frame; errors that belong to
 * a question are on its turn instead).
 */
export class ChatClient extends EventTarget {
  /** @type {ConnectionState} */
  state = "closed";
  /** When the next attempt is made, in milliseconds since the epoch; 0 when none is planned. */
  retryAt = 0;
  /** The code the last connection was closed with; 0 before there was one. */
  closeCode = 0;
  /** @type {Session | null} */
  session = null;
  /** @type {Turn[]} */
  turns = [];
  /** Whether the server may have messages older than `turns`. */
  hasEarlier = false;

  /** @type {string} */ #url;
  /** @type {SessionStore} */ #store;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Turn | null} The question that is on its way or being answered. */ #active = null;
  /** @type {{turn_id: string, seq: number} | null} What the last `resume` asked to continue from. */ #cursorSent = null;
  /** Whether the server has not yet answered this connection's `start` or `resume`. */ #greeting = false;
  #attempt = 0;
  #openedAt = 0;
  #heardAt = 0;
  #patienceMs = 0;
  #cancelSent = false;
  /** Whether the person pressed stop while there was nobody to tell. */ #cancelOwed = false;
  /** Whether the question was put off because an earlier answer is still being written. */ #deferred = false;
  #earlierAsked = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #resendTimer;
  #listeners = new AbortController();

  /** @param {ChatClientOptions} options */
  constructor({ url, storageKey, storage }) {
    super();
    this.#url = String(url);
    this.#store = new SessionStore(storageKey ?? `resume-chat:${this.#url}`, storage);
    const signal = this.#listeners.signal;
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.#personIsBack(true), { signal });
    globalThis.addEventListener?.("online", () => this.#personIsBack(true), { signal });
    globalThis.addEventListener?.("pageshow", () => this.#personIsBack(true), { signal });
    for (const sign of ["pointerdown", "keydown"]) {
      globalThis.addEventListener?.(sign, () => this.#personIsBack(false), { signal, passive: true });
    }
  }

  /** Whether a question is on its way or being answered; only one can be. */
  get busy() {
    return this.#active !== null;
  }

  /** Connects now, also when a later attempt was planned or the connection was closed for good. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    if (this.closeCode === 4409) this.#forgetPlace();
    this.#setState("connecting");
    this.#greeting = true;
    this.#patienceMs = 0;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#openedAt = Date.now();
    socket.onopen = () => this.#greet();
    socket.onmessage = (event) => this.#socket === socket && this.#receive(event.data);
    socket.onclose = (event) => this.#socket === socket && this.#closed(event.code);
    this.#listenForSilence();
  }

  /** Ends the connection and lets go of everything; the conversation stays stored. */
  close() {
    this.#listeners.abort();
    this.#hangUp();
    this.#setState("closed");
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
    this.turns = this.turns.filter((other) => other !== turn);
    this.#emit("transcript");
    return this.ask(turn.question, turn.id);
  }

  /** Has the last question answered anew, in place of its answer. Answers `null` when there is none, or while one is being answered. */
  regenerate() {
    const last = this.turns.at(-1);
    if (this.#active || !last?.turnId || last.past) return null;
    const turn = newTurn({ id: newId(), question: last.question, mode: this.session?.mode });
    turn.replaces = last;
    this.turns = [...this.turns.slice(0, -1), turn];
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
    if (!turn.turnId || turn.past || this.state !== "open" || this.#greeting) return false;
    turn.rating = rating;
    return this.#send({ type: "feedback", turn_id: turn.turnId, rating });
  }

  /** Has the server delete the conversation, and begins a new one when that is done. Answers whether it could be asked. */
  forget() {
    return this.state === "open" && !this.#greeting && this.#send({ type: "forget" });
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
    this.#heardAt = Date.now();
    const kept = this.#store.read();
    const known = this.session ?? kept;
    if (!known?.session_id || !known.resume_token) {
      this.#cursorSent = null;
      this.#send({ type: "start" });
      return;
    }
    this.#cursorSent = this.#cursor(kept?.turn_id);
    this.#send({
      type: "resume",
      session_id: known.session_id,
      resume_token: known.resume_token,
      ...(this.#cursorSent && { cursor: this.#cursorSent }),
    });
  }

  /**
   * The place in the conversation that is on the screen. After a reload nothing is, so an unfinished answer is asked for from its
   * first word; an answer taken from the history has no place, and is taken from the history again.
   * @param {string | undefined} unfinished the stored id of a turn that was being answered
   */
  #cursor(unfinished) {
    const last = this.turns.findLast((turn) => turn.turnId && !turn.past);
    if (last?.turnId) return last.uncertain ? null : { turn_id: last.turnId, seq: last.seq };
    return unfinished ? { turn_id: unfinished, seq: 0 } : null;
  }

  /** Another window may have carried on with the conversation: what is on the screen here is no place to continue from. */
  #forgetPlace() {
    for (const turn of this.turns) turn.uncertain = true;
    if (this.#active?.turnId) this.#active = null;
    this.session = null;
  }

  /** @param {object} frame */
  #send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#listenForSilence();
    return true;
  }

  #sendQuestion() {
    const turn = this.#active;
    if (!turn || turn.turnId) return;
    if (turn.replaces) this.#send({ type: "regenerate", id: turn.id });
    else this.#send({ type: "question", id: turn.id, question: turn.question });
  }

  #sendDeferred() {
    clearTimeout(this.#resendTimer);
    this.#deferred = false;
    if (this.state === "open") this.#sendQuestion();
  }

  #hangUp() {
    this.#deferred = false;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#resendTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #leave() {
    this.#hangUp();
    this.#store.clear();
    this.session = null;
    this.turns = [];
    this.#active = null;
    this.closeCode = 0;
    this.hasEarlier = false;
    this.#emit("transcript");
  }

  /** @param {number} code */
  #closed(code) {
    this.#hangUp();
    this.closeCode = code;
    this.#cancelSent = false;
    this.#earlierAsked = false;
    if (Date.now() - this.#openedAt > GOOD_CONNECTION_MS && !this.#greeting) this.#attempt = 0;
    const waits = this.#active !== null && !globalThis.document?.hidden;
    let then = AFTER_CLOSE[code] ?? "backoff";
    // Somebody who watches for an answer is not away, whatever the server thinks.
    if (then === "return" && waits) then = "backoff";
    switch (then) {
      case "stop":
        if (code !== 1000 && code !== 1001 && this.#active) this.#giveUp(code);
        this.#setState("closed");
        break;
      case "return":
        this.#setState("away");
        break;
      case "spread":
        this.#retryIn(Math.random() * RESTART_SPREAD_MS);
        break;
      case "patience":
        this.#retryIn(this.#patienceMs || DEFAULT_PATIENCE_MS);
        break;
      default:
        this.#retryIn(Math.max(this.#patienceMs, this.#backoff()));
    }
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

  /** @param {number} code */
  #giveUp(code) {
    const turn = this.#active;
    if (!turn) return;
    this.#store.update({ unsent: undefined });
    // Opened in another window, the answer goes on there; here it just ends.
    if (code === 4409 && turn.turnId) return this.#finish(turn, "interrupted");
    const message = code === 1009 ? "The question is too long to be sent." : "The connection was closed before an answer came.";
    this.#fail(turn, { code: "CONNECTION_CLOSED", message, retryable: code !== 1009, retryAt: 0 });
  }

  /** @param {boolean} certain whether this is more than a touch, and reason enough to hurry a planned attempt */
  #personIsBack(certain) {
    if (this.state === "away") this.connect();
    else if (certain && this.state === "waiting" && !this.#patienceMs && this.closeCode === 1006) this.connect();
    else if (certain && this.state === "open" && Date.now() - this.#heardAt > SILENCE_MS) this.#probe();
  }

  /** Silence is only suspicious while something is owed; an idle connection is left alone. */
  #listenForSilence() {
    clearTimeout(this.#silenceTimer);
    if (this.#greeting) this.#silenceTimer = setTimeout(() => this.#lost(), HANDSHAKE_MS);
    else if (this.#active) this.#silenceTimer = setTimeout(() => this.#probe(), SILENCE_MS);
  }

  #probe() {
    this.#send({ type: "ping" });
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#lost(), PONG_MS);
  }

  /** A dead network never reports a close, so the socket is left behind and the loss dealt with now. */
  #lost() {
    this.#closed(1006);
  }

  /** @param {ConnectionState} state @param {number} [retryAt] */
  #setState(state, retryAt = 0) {
    this.state = state;
    this.retryAt = retryAt;
    this.#emit("state");
  }

  /** @param {string} type @param {unknown} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // What the server says.

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      return;
    }
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
      case "forgotten":
        this.#leave();
        this.#emit("forgotten");
        this.connect();
        break;
      case "notice":
        this.#emit("notice", frame);
        break;
    }
    this.#listenForSilence();
  }

  /** @param {Session} frame */
  #onSession(frame) {
    this.#greeting = false;
    this.session = frame;
    const unsent = this.#unsent();
    if (frame.resumed) this.#restore(frame, unsent);
    else this.#begin(unsent);
    this.#store.begin(frame, this.#active?.turnId ?? undefined, unsent?.replaces ? null : unsent);
    this.#setState("open");
    this.#emit("session", frame);
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
    const ended = this.turns.some((turn) => turn !== unsent);
    for (const turn of this.turns) {
      if (turn === unsent) continue;
      turn.past = true;
      if (!FINAL.has(turn.status)) turn.status = "interrupted";
    }
    // In a new conversation there is no answer to take the place of.
    if (unsent) unsent.replaces = null;
    this.#active = unsent;
    if (unsent && !this.turns.includes(unsent)) this.turns.push(unsent);
    this.hasEarlier = false;
    if (ended) this.#emit("ended");
    this.#emit("transcript");
  }

  /** @param {Session} frame @param {Turn | null} unsent */
  #restore(frame, unsent) {
    const continued = frame.recovered ? this.#cursorSent?.turn_id : undefined;
    if (continued && this.turns.some((turn) => turn.turnId === continued)) return;

    const restored = turnsFrom(frame.history ?? [], frame.mode);
    const overlap = this.turns.findIndex((turn) => turn.turnId === restored[0]?.turnId);
    // Without an overlap nobody knows what lies between, so only what the server says is shown.
    this.turns = [...(overlap > 0 ? this.turns.slice(0, overlap) : []), ...restored];
    this.hasEarlier = overlap <= 0 && (frame.more ?? restored.length >= 20);

    const last = restored.at(-1);
    this.#active = null;
    if (last && last.turnId === continued) {
      Object.assign(last, { answer: "", seq: 0, status: "accepted", uncertain: false });
      this.#active = last;
    } else if (last && !FINAL.has(last.status)) {
      this.#active = last;
    }
    if (unsent) {
      if (last && unsent.replaces?.turnId === last.turnId) this.turns.pop();
      this.turns.push(unsent);
      this.#active = unsent;
    }
    this.#emit("transcript");
  }

  /** @param {{id?: string, turn_id: string, duplicate?: boolean, mode?: "live" | "excerpts"}} frame */
  #onAccepted(frame) {
    const known = this.#find(frame.turn_id);
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    const turn = unsent && (!frame.id || frame.id === unsent.id) ? unsent : known;
    if (!turn) return;
    if (known && known !== turn) {
      // The server already told of this turn, in the history or while catching up: two views of one turn become one.
      Object.assign(turn, { answer: known.answer, seq: known.seq });
      this.turns = this.turns.filter((other) => other !== known);
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
    const turn = this.#find(frame.turn_id);
    if (!turn) return;
    Object.assign(turn, { status: "queued", position: frame.position ?? null });
    this.#emit("turn", { turn, change: "queued" });
  }

  /** @param {{turn_id: string, seq: number, text: string, replay?: boolean, mode?: "live" | "excerpts"}} frame */
  #onDelta(frame) {
    let turn = this.#find(frame.turn_id);
    if (!turn) {
      turn = newTurn({ id: newId(), question: "", mode: this.session?.mode });
      turn.turnId = frame.turn_id;
      const at = this.#active && !this.#active.turnId ? this.turns.indexOf(this.#active) : this.turns.length;
      this.turns.splice(at, 0, turn);
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
    const turn = this.#find(frame.turn_id);
    if (!turn) return;
    Object.assign(turn, { answer: "", seq: 0, status: "accepted", uncertain: false, late: { text: "", seq: 0 } });
    this.#emit("turn", { turn, change: "reset" });
  }

  /** @param {{turn_id: string, status: TurnStatus, mode?: "live" | "excerpts"}} frame */
  #onDone(frame) {
    const turn = this.#find(frame.turn_id);
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
    if (frame.retry_after_ms) this.#patienceMs = frame.retry_after_ms;
    if (this.#greeting) return this.#onRefusedGreeting(frame);
    if (this.#earlierAsked && !frame.id && !frame.turn_id) this.#earlierAsked = false;
    const error = {
      code: frame.code,
      message: frame.message,
      retryable: frame.retryable ?? false,
      retryAt: frame.retry_after_ms ? Date.now() + frame.retry_after_ms : 0,
    };
    const unsent = this.#active && !this.#active.turnId ? this.#active : null;
    if (unsent && frame.id === unsent.id) {
      this.#onRefusedQuestion(unsent, error);
    } else if (this.#cancelSent && (!frame.turn_id || frame.code === "NO_SUCH_TURN")) {
      // The answer was over already, or this server cannot stop one: nothing the person has to know.
      this.#cancelSent = false;
    } else if (frame.turn_id && this.#find(frame.turn_id)) {
      // The `done` that ends this turn comes next.
      const turn = /** @type {Turn} */ (this.#find(frame.turn_id));
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
    const code = frame.retryable ? 1013 : 1000;
    this.#closed(code);
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
    this.#resendTimer = setTimeout(() => this.#sendDeferred(), Math.max(this.#patienceMs, 1_000));
  }

  /** @param {{messages?: HistoryMessage[], more?: boolean}} frame */
  #onHistory(frame) {
    this.#earlierAsked = false;
    const known = new Set(this.turns.map((turn) => turn.turnId));
    const earlier = turnsFrom(frame.messages ?? [], this.session?.mode).filter((turn) => !known.has(turn.turnId));
    for (const turn of earlier) if (!FINAL.has(turn.status)) turn.status = "interrupted";
    this.turns = [...earlier, ...this.turns];
    this.hasEarlier = Boolean(frame.more) && earlier.length > 0;
    this.#emit("transcript");
  }

  /**
   * An answer is not given anew after all: the earlier one still counts.
   * @param {Turn} turn @param {Turn} earlier
   */
  #putBack(turn, earlier) {
    this.turns = this.turns.map((other) => (other === turn ? earlier : other));
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

  /** @param {string} turnId */
  #find(turnId) {
    return this.turns.findLast((turn) => turn.turnId === turnId && !turn.past);
  }
}

/** The turns of a conversation as they are shown, and how they come together with what the server has of them. */

import { FINAL, newId, newTurn, turnsFrom } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").HistoryMessage} HistoryMessage */

/** The turns, oldest first. */
export class Transcript {
  /** @type {Turn[]} */
  turns = [];
  /** Whether the server may have messages older than `turns`. */
  hasEarlier = false;

  /** @param {string} turnId */
  find(turnId) {
    return this.turns.findLast((turn) => turn.turnId === turnId && !turn.past);
  }

  /**
   * The place in the conversation that is on the screen. After a reload nothing is, so an unfinished answer is asked for from its
   * first word; an answer taken from the history has no place, and is taken from the history again.
   * @param {string | undefined} unfinished the stored id of a turn that was being answered
   */
  cursor(unfinished) {
    const last = this.turns.findLast((turn) => turn.turnId && !turn.past);
    if (last?.turnId) return last.uncertain ? null : { turn_id: last.turnId, seq: last.seq };
    return unfinished ? { turn_id: unfinished, seq: 0 } : null;
  }

  /** Another window may have carried on: what is on the screen is no place to continue from. */
  forgetPlace() {
    for (const turn of this.turns) turn.uncertain = true;
  }

  clear() {
    this.turns = [];
    this.hasEarlier = false;
  }

  /**
   * The session is gone: all but the question that is still to be sent is past. Answers whether there was anything.
   * @param {Turn | null} unsent
   */
  end(unsent) {
    const over = this.turns.filter((turn) => turn !== unsent);
    for (const turn of over) {
      turn.past = true;
      if (!FINAL.has(turn.status)) turn.status = "interrupted";
    }
    if (unsent && !this.turns.includes(unsent)) this.turns.push(unsent);
    this.hasEarlier = false;
    return over.length > 0;
  }

  /**
   * Shows what the server has. Answers the newest turn, and whether it is still being answered.
   * @param {{history?: HistoryMessage[], more?: boolean, mode?: "live" | "excerpts"}} session
   * @param {string | undefined} continued the turn whose words follow from the first
   */
  restore(session, continued) {
    const restored = turnsFrom(session.history ?? [], session.mode);
    const overlap = this.turns.findIndex((turn) => turn.turnId === restored[0]?.turnId);
    // Without an overlap nobody knows what lies between, so only what the server says is shown.
    this.turns = [...(overlap > 0 ? this.turns.slice(0, overlap) : []), ...restored];
    this.hasEarlier = overlap <= 0 && (session.more ?? restored.length >= 20);
    const last = restored.at(-1);
    if (last && last.turnId === continued) {
      Object.assign(last, { answer: "", seq: 0, status: "accepted", uncertain: false });
    }
    return { last, answering: last !== undefined && !FINAL.has(last.status) };
  }

  /** Puts older messages in front. @param {HistoryMessage[]} messages @param {boolean} more @param {"live" | "excerpts"} [mode] */
  prepend(messages, more, mode) {
    const known = new Set(this.turns.map((turn) => turn.turnId));
    const earlier = turnsFrom(messages, mode).filter((turn) => !known.has(turn.turnId));
    for (const turn of earlier) if (!FINAL.has(turn.status)) turn.status = "interrupted";
    this.turns = [...earlier, ...this.turns];
    this.hasEarlier = more && earlier.length > 0;
  }

  /**
   * A turn that the server speaks of and nobody here has asked for comes before the question that is still to be sent.
   * @param {string} turnId @param {Turn | null} unsent @param {"live" | "excerpts"} [mode]
   */
  insert(turnId, unsent, mode) {
    const turn = newTurn({ id: newId(), question: "", mode });
    turn.turnId = turnId;
    this.turns.splice(unsent ? this.turns.indexOf(unsent) : this.turns.length, 0, turn);
    return turn;
  }

  /** @param {Turn} turn @param {Turn} by */
  replace(turn, by) {
    this.turns = this.turns.map((other) => (other === turn ? by : other));
  }

  /** @param {Turn} turn */
  remove(turn) {
    this.turns = this.turns.filter((other) => other !== turn);
  }
}

/** The turns on the page, and how they are merged with the history of the server. */

import { FINAL, keepWhatWasRead, newId, newTurn, turnsFrom } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").HistoryMessage} HistoryMessage */

export class Transcript {
  /** @type {Turn[]} Oldest first. */
  turns = [];
  /** Whether the server may have messages older than `turns`. */
  hasEarlier = false;

  /** Returns the turn of the current session with this id. @param {string} turnId */
  find(turnId) {
    return this.turns.findLast((turn) => turn.turnId === turnId && !turn.past);
  }

  /**
   * Returns the position from which the server should continue, or null if it should send the
   * history. After a reload an unfinished answer is requested from its first delta.
   * @param {string | undefined} unfinished the stored id of a turn that was being answered
   */
  cursor(unfinished) {
    const last = this.turns.findLast((turn) => turn.turnId && !turn.past);
    // The position in an answer from the history is not known.
    if (last?.turnId) return last.uncertain ? null : { turn_id: last.turnId, seq: last.seq };
    return unfinished ? { turn_id: unfinished, seq: 0 } : null;
  }

  /**
   * Makes the next `resume` request the history, because another window may have continued the
   * conversation.
   */
  invalidate() {
    for (const turn of this.turns) turn.uncertain = true;
  }

  clear() {
    this.turns = [];
    this.hasEarlier = false;
  }

  /**
   * Marks all turns as part of a past session, except the question that is not sent yet. Returns
   * whether there were any.
   * @param {Turn | null} unsent
   */
  end(unsent) {
    const past = this.turns.filter((turn) => turn !== unsent);
    for (const turn of past) {
      turn.past = true;
      if (!FINAL.has(turn.status)) turn.status = "interrupted";
    }
    if (unsent && !this.turns.includes(unsent)) this.turns.push(unsent);
    this.hasEarlier = false;
    return past.length > 0;
  }

  /**
   * Replaces the turns by the history of the server. Returns the last turn, whether it is still
   * being answered, and the turns of which the server lost something in a crash.
   * @param {{history?: HistoryMessage[], more?: boolean, mode?: "live" | "excerpts"}} session
   * @param {string | undefined} continued the turn whose deltas follow, from the first one
   */
  restore(session, continued) {
    const restored = turnsFrom(session.history ?? [], session.mode).map((turn) => this.#sameAs(turn) ?? turn);
    const lost = [...this.#keepWhatWasRead(restored), ...this.#keepLastTurn(restored)];
    const overlap = this.turns.findIndex((turn) => turn.turnId === restored[0]?.turnId);
    // Without an overlap there may be unknown turns in between, so only the history is shown.
    this.turns = [...(overlap > 0 ? this.turns.slice(0, overlap) : []), ...restored];
    this.hasEarlier = overlap <= 0 && (session.more ?? restored.length >= 20);
    const last = restored.at(-1);
    if (last && last.turnId === continued) {
      Object.assign(last, { answer: "", seq: 0, status: "accepted", uncertain: false });
    }
    const answering = last !== undefined && !FINAL.has(last.status);
    for (const turn of lost) if (!turn.turnId) this.turns.push(turn);
    return { last, answering, lost };
  }

  /** Returns the known turn that is equal to one from the history. @param {Turn} turn */
  #sameAs({ turnId, question, answer, status }) {
    const known = FINAL.has(status) ? this.find(turnId ?? "") : undefined;
    return known?.question === question && known.answer === answer && known.status === status ? known : undefined;
  }

  /** @param {Turn[]} restored */
  #keepWhatWasRead(restored) {
    return restored.filter((turn) => {
      const known = this.find(turn.turnId ?? "");
      if (!known || known === turn) return false;
      turn.read = known.answer;
      // The end of a running answer decides.
      return turn.status === "interrupted" && keepWhatWasRead(turn) && known.lostChars === 0;
    });
  }

  /**
   * Keeps the last turn if the server does not know it after a crash, because not even its question
   * was stored.
   * @param {Turn[]} restored
   */
  #keepLastTurn(restored) {
    const last = this.turns.findLast((turn) => turn.turnId && !turn.past);
    // Ids increase with time.
    if (!last?.turnId || !last.answer || last.turnId <= (restored.at(-1)?.turnId ?? "")) return [];
    Object.assign(last, { turnId: null, status: "interrupted", lostChars: [...last.answer].length });
    return [last];
  }

  /**
   * Adds older messages at the start.
   * @param {HistoryMessage[]} messages @param {boolean} more @param {"live" | "excerpts"} [mode]
   */
  prepend(messages, more, mode) {
    const known = new Set(this.turns.map((turn) => turn.turnId));
    const earlier = turnsFrom(messages, mode).filter((turn) => !known.has(turn.turnId));
    for (const turn of earlier) if (!FINAL.has(turn.status)) turn.status = "interrupted";
    this.turns = [...earlier, ...this.turns];
    this.hasEarlier = more && earlier.length > 0;
  }

  /**
   * Adds a turn that another window has started, before a question that is not sent yet.
   * @param {string} turnId @param {Turn | null} unsent @param {"live" | "excerpts"} [mode]
   */
  insert(turnId, unsent, mode) {
    const turn = newTurn({ id: newId(), question: "", mode });
    turn.turnId = turnId;
    this.turns.splice(unsent ? this.turns.indexOf(unsent) : this.turns.length, 0, turn);
    return turn;
  }

  /** @param {Turn} turn @param {Turn} replacement */
  replace(turn, replacement) {
    this.turns = this.turns.map((other) => (other === turn ? replacement : other));
  }

  /** @param {Turn} turn */
  remove(turn) {
    this.turns = this.turns.filter((other) => other !== turn);
  }
}

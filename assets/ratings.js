/** What the person thinks of answers, until the server has said that it is kept. */

import { newId } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {"up" | "down" | null} Rating */
/** @typedef {{turnId: string, rating: Rating, before: Rating}} Unsaved */

/** So many wait for the server's word; who says more before it comes is not heard. */
const MOST_UNSAVED = 100;

export class Ratings {
  /** @type {Map<string, Unsaved>} By the id it was sent under, in the order of their sending. */ #unsaved = new Map();

  get isFull() {
    return this.#unsaved.size >= MOST_UNSAVED;
  }

  /**
   * Notes a rating. Answers with the frame that says it.
   * @param {Turn & {turnId: string}} turn @param {Rating} rating
   */
  note(turn, rating) {
    const id = newId();
    const unsaved = { turnId: turn.turnId, rating, before: turn.rating };
    this.#unsaved.set(id, unsaved);
    turn.rating = rating;
    return frameOf(id, unsaved);
  }

  /** @param {string | undefined} id */
  saved(id) {
    if (id) this.#unsaved.delete(id);
  }

  /**
   * The server does not keep it. Answers what it was, if it was one of these; its turn has the rating of before then, unless the
   * person has thought again since.
   * @param {string} id @param {(turnId: string) => Turn | null | undefined} find
   */
  refused(id, find) {
    const refused = this.#unsaved.get(id);
    if (!refused) return null;
    this.#unsaved.delete(id);
    const later = [...this.#unsaved.values()].find((other) => other.turnId === refused.turnId);
    const turn = find(refused.turnId);
    if (later) later.before = refused.before;
    else if (turn) turn.rating = refused.before;
    return { turn };
  }

  /**
   * On a new connection nobody knows what was kept of them, and the latest counts: they are said again.
   * @param {(turnId: string) => Turn | null | undefined} find
   */
  again(find) {
    return [...this.#unsaved].map(([id, unsaved]) => {
      const turn = find(unsaved.turnId);
      if (turn) turn.rating = unsaved.rating;
      return frameOf(id, unsaved);
    });
  }

  clear() {
    this.#unsaved.clear();
  }
}

/** @param {string} id @param {Unsaved} unsaved */
function frameOf(id, { turnId, rating }) {
  return { type: "feedback", turn_id: turnId, rating, id };
}

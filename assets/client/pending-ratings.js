/** Ratings that the server has not confirmed yet. */

import { newId } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {"up" | "down" | null} Rating */
/** @typedef {{turnId: string, rating: Rating, comment?: string, previous: Rating}} PendingRating */

/** Further ratings are ignored until the server confirms some. */
const MAX_PENDING = 100;

export class PendingRatings {
  /** @type {Map<string, PendingRating>} By the id of the frame, in the order of sending. */
  #pending = new Map();

  get isFull() {
    return this.#pending.size >= MAX_PENDING;
  }

  /**
   * Sets the rating of a turn. Returns the frame to send.
   * @param {Turn & {turnId: string}} turn @param {Rating} rating @param {string} [comment]
   */
  add(turn, rating, comment) {
    const id = newId();
    const pending = { turnId: turn.turnId, rating, comment, previous: turn.rating };
    this.#pending.set(id, pending);
    turn.rating = rating;
    return feedbackFrame(id, pending);
  }

  /** @param {string | undefined} id */
  confirm(id) {
    if (id) this.#pending.delete(id);
  }

  /**
   * Handles that the server refused a rating. Restores the previous rating of the turn, unless a
   * later one is pending. Returns null if the frame was not a rating.
   * @param {string} id @param {(turnId: string) => Turn | null | undefined} find
   */
  reject(id, find) {
    const rejected = this.#pending.get(id);
    if (!rejected) return null;
    this.#pending.delete(id);
    const later = [...this.#pending.values()].find((pending) => pending.turnId === rejected.turnId);
    const turn = find(rejected.turnId);
    if (later) later.previous = rejected.previous;
    else if (turn) turn.rating = rejected.previous;
    return { turn };
  }

  /**
   * Returns the frames to send again on a new connection, because the server may not have received
   * them. Sets the ratings of the turns, which a restored history may have replaced.
   * @param {(turnId: string) => Turn | null | undefined} find
   */
  resend(find) {
    return [...this.#pending].map(([id, pending]) => {
      const turn = find(pending.turnId);
      if (turn) turn.rating = pending.rating;
      return feedbackFrame(id, pending);
    });
  }

  clear() {
    this.#pending.clear();
  }
}

/** @param {string} id @param {PendingRating} pending */
function feedbackFrame(id, { turnId, rating, comment }) {
  return { type: "feedback", turn_id: turnId, rating, ...(rating && comment && { comment }), id };
}

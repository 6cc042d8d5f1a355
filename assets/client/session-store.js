/** Stores the session between visits, with a question that is not sent yet. */

import { StoredValue } from "./stored-value.js";

export class SessionStore {
  /** @type {StoredValue} */ #stored;
  /** @type {string | null} The session of this window. Other windows can store other sessions. */
  #sessionId = null;

  /** @param {string} key @param {Storage | null} [storage] */
  constructor(key, storage) {
    this.#stored = new StoredValue(key, storage);
  }

  /** Returns what is stored. Of an expired session, only the unsent question. @returns {any} */
  read() {
    const stored = this.#stored.read();
    const expired = Date.parse(stored?.expires_at) < Date.now();
    return expired ? { unsent: stored.unsent } : stored;
  }

  /**
   * Stores a session in place of any other.
   * @param {{session_id: string, resume_token: string, expires_at?: string}} session
   * @param {string} [turnId] of the answer that is not complete
   * @param {import("./turn.js").Turn | null} [unsent]
   */
  begin({ session_id, resume_token, expires_at }, turnId, unsent) {
    this.#sessionId = session_id;
    const question = unsent ? { id: unsent.id, question: unsent.question, at: Date.now() } : undefined;
    this.#stored.write({ session_id, resume_token, expires_at, turn_id: turnId, unsent: question });
  }

  /**
   * Changes the stored session, unless another window has stored a different one.
   * @param {{turn_id?: string, expires_at?: string, unsent?: {id: string, question: string, at: number}}} change
   */
  update(change) {
    const stored = this.read() ?? {};
    if ((stored.session_id ?? null) === this.#sessionId || this.#sessionId === null) {
      this.#stored.write({ ...stored, ...change });
    }
  }

  clear() {
    this.#sessionId = null;
    this.#stored.clear();
  }
}

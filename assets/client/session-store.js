/** Stores the session between visits, with a question that is not sent yet. */

/** Works without storage too: every failure of the storage counts as an empty one. */
export class SessionStore {
  /** @type {Storage | null} */ #storage = null;
  /** @type {string} */ #key;
  /** @type {string | null} The session of this window. Other windows can store other sessions. */
  #sessionId = null;

  /** @param {string} key @param {Storage | null} [storage] */
  constructor(key, storage) {
    this.#key = key;
    try {
      this.#storage = storage === undefined ? globalThis.localStorage : storage;
    } catch {
      this.#storage = null;
    }
  }

  /** Returns what is stored. Of an expired session, only the unsent question. @returns {any} */
  read() {
    try {
      const stored = JSON.parse(this.#storage?.getItem(this.#key) ?? "null");
      const expired = Date.parse(stored?.expires_at) < Date.now();
      return expired ? { unsent: stored.unsent } : stored;
    } catch {
      return null;
    }
  }

  /**
   * Stores a session in place of any other.
   * @param {import("./client.js").Session} session
   * @param {string | undefined} turnId
   * @param {import("./turn.js").Turn | null} unsent
   */
  begin(session, turnId, unsent) {
    this.#sessionId = session.session_id;
    const { session_id, resume_token, expires_at } = session;
    const question = unsent ? { id: unsent.id, question: unsent.question, at: Date.now() } : undefined;
    this.#write({ session_id, resume_token, expires_at, turn_id: turnId, unsent: question });
  }

  /**
   * Changes the stored session, unless another window has stored a different one.
   * @param {{turn_id?: string, unsent?: {id: string, question: string, at: number}}} change
   */
  update(change) {
    const stored = this.read() ?? {};
    if ((stored.session_id ?? null) === this.#sessionId || this.#sessionId === null) this.#write({ ...stored, ...change });
  }

  clear() {
    this.#sessionId = null;
    try {
      this.#storage?.removeItem(this.#key);
    } catch {
      // Without storage there is nothing to remove.
    }
  }

  /** @param {object} value */
  #write(value) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify(value));
    } catch {
      // Without storage the session lasts as long as the page.
    }
  }
}

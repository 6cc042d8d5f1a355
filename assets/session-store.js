/** What the client keeps between visits: whose conversation it is, and what was not sent yet. */

/** What is kept between visits; every failure of the storage is taken as "nothing kept". */
export class SessionStore {
  /** @type {Storage | null} */ #storage = null;
  /** @type {string} */ #key;
  /** @type {string | null} The session this page writes for. */ #own = null;

  /** @param {string} key @param {Storage | null} [storage] */
  constructor(key, storage) {
    this.#key = key;
    try {
      this.#storage = storage === undefined ? globalThis.localStorage : storage;
    } catch {
      this.#storage = null;
    }
  }

  /** @returns {any} */
  read() {
    try {
      const kept = JSON.parse(this.#storage?.getItem(this.#key) ?? "null");
      const expired = Date.parse(kept?.expires_at) < Date.now();
      return expired ? { unsent: kept.unsent } : kept;
    } catch {
      return null;
    }
  }

  /** @param {import("./client.js").Session} session @param {string | undefined} turnId @param {import("./turn.js").Turn | null} unsent */
  begin(session, turnId, unsent) {
    this.#own = session.session_id;
    const { session_id, resume_token, expires_at } = session;
    const kept = unsent ? { id: unsent.id, question: unsent.question, at: Date.now() } : undefined;
    this.#write({ session_id, resume_token, expires_at, turn_id: turnId, unsent: kept });
  }

  /**
   * Changes what is kept, unless another window has begun a conversation of its own since.
   * @param {{turn_id?: string, unsent?: {id: string, question: string, at: number}}} change
   */
  update(change) {
    const kept = this.read() ?? {};
    if ((kept.session_id ?? null) === this.#own || this.#own === null) this.#write({ ...kept, ...change });
  }

  clear() {
    this.#own = null;
    try {
      this.#storage?.removeItem(this.#key);
    } catch {
      // Nothing was kept, so nothing is left to remove.
    }
  }

  /** @param {object} value */
  #write(value) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify(value));
    } catch {
      // Without storage the conversation lives as long as the page.
    }
  }
}

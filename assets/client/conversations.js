/** The earlier conversations of the visitor, so that each can be opened again or deleted. */

import { StoredValue } from "./stored-value.js";

/**
 * @typedef {object} Conversation
 * @property {string} sessionId
 * @property {string} title  the first question; empty if it is not known
 * @property {number} at     when it was left, in milliseconds since the epoch
 *
 * @typedef {object} StoredConversation
 * @property {string} session_id
 * @property {string} resume_token
 * @property {string} [expires_at]
 * @property {string} title
 * @property {number} at
 */

/** The oldest ones are dropped. */
const MAX_CONVERSATIONS = 20;
const MAX_TITLE_CHARS = 80;

export class Conversations {
  /** @type {StoredValue} */ #stored;
  /** @type {StoredConversation[]} The list without storage. */ #list = [];

  /** @param {string} key @param {Storage | null} [storage] */
  constructor(key, storage) {
    this.#stored = new StoredValue(key, storage);
  }

  /** Newest first, without the expired ones. @returns {StoredConversation[]} */
  read() {
    const stored = this.#stored.read();
    const list = Array.isArray(stored) ? stored : this.#list;
    return list.filter(({ session_id, expires_at }) => session_id && !(Date.parse(expires_at) < Date.now()));
  }

  /** @returns {Conversation[]} */
  get all() {
    return this.read().map(({ session_id, title, at }) => ({ sessionId: session_id, title, at }));
  }

  /** @param {string} sessionId */
  find(sessionId) {
    return this.read().find(({ session_id }) => session_id === sessionId);
  }

  /** @param {import("./client.js").Session} session @param {string} title */
  add({ session_id, resume_token, expires_at }, title) {
    const others = this.read().filter((other) => other.session_id !== session_id);
    const characters = [...title];
    if (characters.length > MAX_TITLE_CHARS) title = `${characters.slice(0, MAX_TITLE_CHARS - 1).join("")}…`;
    this.#write([{ session_id, resume_token, expires_at, title, at: Date.now() }, ...others]);
  }

  /** @param {string} sessionId */
  remove(sessionId) {
    this.#write(this.read().filter(({ session_id }) => session_id !== sessionId));
  }

  /** @param {StoredConversation[]} list */
  #write(list) {
    this.#list = list.slice(0, MAX_CONVERSATIONS);
    this.#stored.write(this.#list);
  }
}

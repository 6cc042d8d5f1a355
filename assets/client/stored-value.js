/** A JSON value in the storage of the browser. */

/** Works without storage too: every failure of the storage counts as an empty one. */
export class StoredValue {
  /** @type {Storage | null} */ #storage = null;
  /** @type {string} */ #key;

  /** @param {string} key @param {Storage | null} [storage] defaults to `localStorage` */
  constructor(key, storage) {
    this.#key = key;
    try {
      this.#storage = (storage === undefined ? globalThis.localStorage : storage) ?? null;
    } catch {
      this.#storage = null;
    }
  }

  /** @returns {any} */
  read() {
    try {
      return JSON.parse(this.#storage?.getItem(this.#key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {unknown} value */
  write(value) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify(value));
    } catch {
      // Without storage the value lasts as long as the page.
    }
  }

  clear() {
    try {
      this.#storage?.removeItem(this.#key);
    } catch {
      // Without storage there is nothing to remove.
    }
  }
}

/** Remembers over page loads whether the panel is open, as long as the tab lives. */

export class OpenState {
  #key;

  /** @param {string} server */
  constructor(server) {
    this.#key = `resume-chat:open:${server}`;
  }

  /** Returns `null` if nothing is remembered, or if the browser forbids storage. @returns {boolean | null} */
  read() {
    try {
      const stored = sessionStorage.getItem(this.#key);
      return stored === null ? null : stored === "true";
    } catch {
      return null;
    }
  }

  /** @param {boolean} open */
  write(open) {
    try {
      sessionStorage.setItem(this.#key, String(open));
    } catch {
      // Without storage the state lasts as long as the page.
    }
  }
}

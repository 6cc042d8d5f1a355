/**
 * Shows an answer while it is streamed. Its Markdown is turned into nodes, so that no text can
 * become markup: raw HTML is shown as text, and images are shown as links.
 */

import { BlockParser } from "./markdown/blocks.js";
import { createElement } from "./markdown/characters.js";

export { createElement };

/**
 * @typedef {object} MarkdownOptions
 * @property {import("./markdown/links.js").LinkHosts} [linkHosts]  the hosts of the owner's
 *   documents, and with them the hosts below; links to others show where they go
 * @property {(key: string) => string} [t]  returns a text of the interface
 * @property {number} [headingLevel]        the level of the first heading
 */

/** The page has a heading for its title and one for the welcome. */
const HEADING_LEVEL = 3;

/** Keeps blocks that have ended, and draws only the last one again. */
export class StreamingMarkdown {
  node = createElement("div", "text");
  #options;
  #text = "";
  #growing = true;
  #parser;
  /** The text of the blocks that were completed since the last call. */
  #completed = "";

  /** @param {MarkdownOptions} [options] */
  constructor(options = {}) {
    this.#options = options;
    this.#parser = this.#createParser();
  }

  #createParser() {
    const { linkHosts, t = (key) => key, headingLevel = HEADING_LEVEL } = this.#options;
    const onText = (/** @type {string} */ text) => (this.#completed += `${text}\n`);
    return new BlockParser(this.node, { linkHosts, t, headingLevel, onText });
  }

  /**
   * @param {string} text @param {boolean} growing whether more text follows
   * @returns {string} the text that became final since the last call, for screen readers
   */
  update(text, growing) {
    if (text === this.#text && growing === this.#growing) return "";
    if (!this.#growing || !text.startsWith(this.#text)) {
      this.node.replaceChildren();
      this.#parser = this.#createParser();
      this.#text = "";
    }
    this.#completed = "";
    this.#parser.push(text.slice(this.#text.length));
    this.#text = text;
    this.#growing = growing;
    const final = this.#completed;
    this.#completed = "";
    if (growing) this.#parser.leaf?.draw();
    else this.#parser.finish();
    return final;
  }

  /** The text that no call has returned as final. */
  get tail() {
    return this.#growing ? (this.#parser.leaf?.node.textContent ?? "") : this.#completed;
  }

  get tailLength() {
    return this.tail.length;
  }
}

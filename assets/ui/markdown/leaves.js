/** The blocks of Markdown that contain text, while they grow. */

import { createElement, createText, trimSpaces } from "./characters.js";
import { renderInline } from "./inline.js";

/** @typedef {import("./links.js").LinkHosts} LinkHosts */
/** @typedef {TextLeaf | CodeLeaf | import("./table.js").TableLeaf} Leaf */

/**
 * What the blocks of a text share.
 * @typedef {object} Context
 * @property {LinkHosts} [linkHosts]
 * @property {(key: string) => string} t
 * @property {number} headingLevel                 the level of the first heading
 * @property {(text: string) => void} onText  called with a text that is complete
 */

/** Settled text is moved out of the part that is drawn again when it has become this long. */
const SETTLE_CHARS = 1000;

/** How many characters before the text decide what its first delimiters mean: one character. */
const CONTEXT_CHARS = 2;

/** A longer line is not the header of a table. */
const MAX_HEADER_CHARS = 2000;

/** The number signs that may close a heading. */
const CLOSING_MARKS = /(?:^|[ \t])#+$/;

/** How long the copy button says that it has copied. */
const COPIED_MS = 2000;

/** A paragraph or a heading. */
export class TextLeaf {
  kind;
  node;
  #context;
  /** The text that may be drawn again, after the last characters that are not. */
  #text = "";
  #from = 0;
  /** The offset of the last line. */
  #lastLine = 0;
  /** The last node that is not drawn again. @type {Node | null} */
  #settled = null;

  /** @param {"paragraph" | "heading"} kind @param {HTMLElement} node @param {Context} context */
  constructor(kind, node, context) {
    this.kind = kind;
    this.node = node;
    this.#context = context;
    this.#settled = node.lastChild;
  }

  /** Adds to the current line. @param {string} text */
  add(text) {
    if (this.#text.endsWith("\n")) this.#lastLine = this.#text.length;
    this.#text += text;
  }

  endLine() {
    if (this.kind === "paragraph") this.#text += "\n";
  }

  /** Draws the text, of which more may follow. */
  draw() {
    const { length } = this.#text;
    const mayBecomeHeader = this.kind === "paragraph" && length - this.#lastLine <= MAX_HEADER_CHARS;
    const isRow = mayBecomeHeader && this.#text.startsWith("|", this.#lastLine);
    const text = isRow ? this.#text.slice(0, this.#lastLine) : this.#text;
    // The line break before the header would be removed with it.
    const limit = mayBecomeHeader ? this.#lastLine - 1 : length;
    const { nodes, settled } = this.#render(text, true, limit);
    this.#replaceEnd(nodes);
    if (settled >= SETTLE_CHARS) this.#settle(settled);
  }

  /** Draws the whole text. */
  close() {
    this.#replaceEnd(this.#render(this.#text, false).nodes);
    if (this.node.parentNode) this.#context.onText(this.node.textContent ?? "");
  }

  /** The last line, if it may be the header of a table. */
  get header() {
    const line = this.#text.slice(this.#lastLine);
    return this.kind === "paragraph" && line.length <= MAX_HEADER_CHARS + 1 ? line : "";
  }

  /** Removes the last line, and the node if it was the only line. */
  removeHeader() {
    this.#text = this.#text.slice(0, this.#lastLine);
    if (this.#text === "" && !this.#settled) this.node.remove();
  }

  /** @param {string} text @param {boolean} growing @param {number} [limit] */
  #render(text, growing, limit) {
    let visible = trimSpaces(text.endsWith("\n") ? text.slice(0, -1) : text);
    if (this.kind === "heading") visible = trimSpaces(visible.replace(CLOSING_MARKS, ""));
    return renderInline(visible, growing, this.#context.linkHosts, limit, this.#from);
  }

  /** @param {number} length */
  #settle(length) {
    const text = this.#text.slice(0, length);
    this.#replaceEnd(renderInline(text, false, this.#context.linkHosts, length, this.#from).nodes);
    this.#settled = this.node.lastChild;
    this.#from = Math.min(length, CONTEXT_CHARS);
    this.#text = this.#text.slice(length - this.#from);
    this.#lastLine = Math.max(0, this.#lastLine - length + this.#from);
    this.draw();
  }

  /**
   * Replaces the nodes after the settled ones. Keeps those that did not change.
   * @param {Node[]} nodes
   */
  #replaceEnd(nodes) {
    let old = this.#settled ? this.#settled.nextSibling : this.node.firstChild;
    let kept = 0;
    for (; old && nodes[kept] && old.isEqualNode(/** @type {Node} */ (nodes[kept])); kept += 1) old = old.nextSibling;
    while (old) {
      const next = old.nextSibling;
      old.remove();
      old = next;
    }
    for (const node of nodes.slice(kept)) this.node.append(node);
  }
}

/** A code block with a button that copies it. */
export class CodeLeaf {
  kind = /** @type {const} */ ("code");
  node = createElement("div", "code");
  #code = createElement("code");
  #context;
  /** Text to add with the next line: a code block does not end with a line feed. */
  #pending = "";
  #isEmpty = true;

  /**
   * @param {Context} context @param {string} info @param {string} fence
   * @param {number} fenceIndent the indentation that the lines have in common with the fence
   */
  constructor(context, info, fence, fenceIndent) {
    this.fence = fence;
    this.fenceIndent = fenceIndent;
    this.#context = context;
    const bar = createElement("div", "code-bar");
    const language = createElement("span", "code-language");
    language.append(createText(info.split(/\s/)[0] ?? ""));
    const copy = createElement("button", "code-copy", context.t("code.copy"));
    copy.type = "button";
    copy.addEventListener("click", () => this.#copy(copy));
    bar.append(language, copy);
    const box = createElement("pre");
    // A block that scrolls must be reachable with the keyboard.
    box.tabIndex = 0;
    box.append(this.#code);
    this.node.append(bar, box);
    this.node.setAttribute("dir", "ltr");
  }

  /** Adds to the current line. @param {string} text */
  add(text) {
    if (this.#pending || text) this.#code.append(createText(this.#pending + text));
    this.#pending = "";
    this.#isEmpty = false;
  }

  endLine() {
    if (!this.#isEmpty) this.#pending += "\n";
  }

  draw() {}

  close() {
    this.#code.normalize();
    this.#context.onText(this.#code.textContent ?? "");
  }

  /** @param {HTMLButtonElement} button */
  async #copy(button) {
    try {
      await navigator.clipboard.writeText(`${this.#code.textContent}\n`);
    } catch {
      // Without permission the reader copies the selection.
      getSelection()?.selectAllChildren(this.#code);
      return;
    }
    button.textContent = this.#context.t("code.copied");
    setTimeout(() => (button.textContent = this.#context.t("code.copy")), COPIED_MS);
  }
}

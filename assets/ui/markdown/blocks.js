/**
 * The blocks of a text that grows: paragraphs, headings, lists, quotes, code, tables and rules, as
 * in CommonMark, but without indented code and underlined headings, which models do not write. Each
 * line is read once, and a block that has ended is not touched again.
 *
 * The beginning of a line is held back until it is clear what kind of line it is. Thus no block is
 * ever taken back.
 */

import { createElement, trimSpaces } from "./characters.js";
import { CodeLeaf, TextLeaf } from "./leaves.js";
import { TableLeaf, headerCells, splitRow } from "./table.js";

/**
 * A block that contains blocks.
 * @typedef {object} Container
 * @property {HTMLElement} node
 * @property {string} [list]     for an item: the marker of its list
 * @property {number} [indent]   for an item: the columns that its content is indented
 * @property {Node} [task]       for an item: its check mark
 * @property {boolean} [ended]   for an item: whether nothing can be added to it
 */

/** @typedef {import("./leaves.js").Leaf} Leaf */
/** @typedef {import("./leaves.js").Context} Context */

/** Blocks nested deeper than this are shown as plain text. */
const MAX_DEPTH = 10;

/** A tab indents a line like these, wherever it stands. */
const TAB = "    ";

/** Characters with which a line can begin without saying what it is. */
const AMBIGUOUS = /^[\s>\-+*•_#|:~`\d.)[\]xX]*$/;

/** The beginning of a code block, whose line is complete only at its end. */
const FENCE_LINE = /^[\s>\-+*•\d.)[\]xX]*(?:`{3,}[^`]*|~{3,}.*)$/;
const MAX_FENCE_LINE_CHARS = 1000;

const HEADING = /^(#{1,6})(?:[ \t]+|$)/;
const FENCE = /^(`{3,})([^`]*)$|^(~{3,})(.*)$/;
const RULE = /^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^(?:([-+*•])|(\d{1,9})([.)]))(?=[ \t]|$)/;
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;
const TABLE_DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

export class BlockParser {
  #context;
  /** The number of signs of the first heading, which has the highest level. */
  #firstHeading = 0;
  /** @type {Container} */
  #root;
  /** The open blocks from the outermost to the innermost. @type {Container[]} */
  #open = [];
  /** @type {Leaf | null} */
  #leaf = null;
  /** The current line while it is held back. */
  #held = "";
  /** Whether the current line is no longer held back. */
  #inLine = false;
  // The line that is read, and the offset up to which it has been read.
  #line = "";
  #at = 0;

  /** @param {HTMLElement} root @param {Context} context */
  constructor(root, context) {
    this.#root = { node: root };
    this.#context = context;
  }

  /** The open block that contains text. */
  get leaf() {
    return this.#leaf;
  }

  /** Reads more text. @param {string} text */
  push(text) {
    const lines = text.replaceAll("\r", "").split("\n");
    for (const [index, part] of lines.entries()) {
      if (index > 0) this.#endLine();
      if (this.#inLine) this.#leaf?.add(part);
      else this.#held += part;
    }
    if (!this.#inLine && this.#held && !this.#isHeldBack()) this.#beginLine();
  }

  /** Reads the end of the text. */
  finish() {
    if (this.#inLine || this.#held) this.#endLine();
    this.#closeLeaf();
    this.#open = [];
  }

  /** A row is shown when it is complete. */
  #isHeldBack() {
    if (this.#leaf?.kind === "table" || AMBIGUOUS.test(this.#held)) return true;
    return this.#held.length < MAX_FENCE_LINE_CHARS && FENCE_LINE.test(this.#held);
  }

  #beginLine() {
    this.#line = this.#held;
    this.#held = "";
    this.#at = 0;
    this.#inLine = true;
    this.#readLine();
  }

  #endLine() {
    if (!this.#inLine) this.#beginLine();
    this.#inLine = false;
    this.#leaf?.endLine();
    if (this.#leaf?.kind === "heading") this.#closeLeaf();
  }

  #readLine() {
    let depth = 0;
    while (depth < this.#open.length && this.#continues(/** @type {Container} */ (this.#open[depth]))) depth += 1;
    const inside = depth === this.#open.length;
    if (this.#leaf instanceof CodeLeaf && inside) return this.#readFenced(this.#leaf);
    const opened = this.#openBlocks(depth);
    if (opened === "complete") return;
    const { rest } = this.#peek();
    if (!rest) {
      this.#closeTo(opened ? this.#open.length : depth);
      return this.#closeLeaf();
    }
    if (this.#leaf?.kind === "paragraph") return this.#leaf.add(rest);
    if (!opened) this.#closeTo(depth);
    if (this.#leaf?.kind === "table") return this.#leaf.add(rest);
    this.#closeLeaf();
    const node = createElement("p");
    // The check mark of a task is a part of its first paragraph.
    if (this.#parent.task) node.append(this.#parent.task);
    this.#parent.task = undefined;
    this.#addLeaf(new TextLeaf("paragraph", node, this.#context)).add(rest);
  }

  /**
   * Adds a block in the direction of its text. Only the outermost blocks have a `dir`, because the
   * direction of a node does not depend on descendants that have a `dir` themselves.
   * @template {HTMLElement} N
   * @param {N} node
   */
  #addBlock(node) {
    if (this.#parent === this.#root && !node.hasAttribute("dir")) node.setAttribute("dir", "auto");
    this.#parent.node.append(node);
    return node;
  }

  /** @template {Leaf} L @param {L} leaf */
  #addLeaf(leaf) {
    this.#addBlock(leaf.node);
    this.#leaf = leaf;
    return leaf;
  }

  get #parent() {
    return this.#open.at(-1) ?? this.#root;
  }

  /**
   * Returns whether the line belongs to an open container, and reads its marker.
   * @param {Container} container
   */
  #continues(container) {
    const { indent, rest } = this.#peek();
    if (container.indent === undefined) return rest.startsWith(">") && this.#readQuoteMarker(indent);
    if (!rest) {
      // After an empty line, an empty item has ended. Its list has not.
      container.ended = !container.node.hasChildNodes() && !container.task;
      this.#skip(Infinity);
      return true;
    }
    if (indent < container.indent || container.ended) return false;
    this.#skip(container.indent);
    return true;
  }

  /** @param {number} indent */
  #readQuoteMarker(indent) {
    this.#skip(indent);
    this.#at += 1;
    if (this.#peek().indent > 0) this.#skip(1);
    return true;
  }

  /**
   * Opens the blocks that begin in the line.
   * @param {number} matched  the number of open containers to which the line belongs
   * @returns {boolean | "complete"} whether blocks were opened; "complete" if nothing of the line is
   *   left
   */
  #openBlocks(matched) {
    let depth = matched;
    for (let opened = false; ; opened = true) {
      const { indent, rest } = this.#peek();
      if (!rest) return opened;
      const interrupts = this.#leaf?.kind === "paragraph" && depth === this.#open.length;
      if (interrupts && this.#beginTable(/** @type {TextLeaf} */ (this.#leaf), rest)) return "complete";
      if (this.#openSimple(depth, indent, rest)) return "complete";
      const item = ITEM.exec(rest);
      const isQuote = rest.startsWith(">") && depth < MAX_DEPTH;
      if (isQuote) this.#openQuote(depth, indent);
      else if (!item || depth >= MAX_DEPTH || (interrupts && !mayInterrupt(item, rest))) return opened;
      else this.#openItem(depth, indent, item);
      depth = this.#open.length;
    }
  }

  /**
   * Turns the last line of a paragraph into the header of a table.
   * @param {TextLeaf} paragraph @param {string} rest
   */
  #beginTable(paragraph, rest) {
    const delimiters = /[|:]/.test(rest) && TABLE_DELIMITERS.test(rest) ? splitRow(rest.trim()) : null;
    const header = delimiters && headerCells(paragraph.header, delimiters);
    if (!header) return false;
    paragraph.removeHeader();
    this.#closeLeaf();
    this.#addLeaf(new TableLeaf(this.#context, header, delimiters));
    return true;
  }

  /** @param {number} level */
  #createHeading(level) {
    this.#firstHeading ||= level;
    const { headingLevel } = this.#context;
    const below = Math.max(0, level - this.#firstHeading);
    return createElement(/** @type {"h6"} */ (`h${Math.min(6, headingLevel + below)}`));
  }

  /**
   * Opens a heading, a code block or a rule.
   * @param {number} depth @param {number} indent @param {string} rest
   */
  #openSimple(depth, indent, rest) {
    const heading = HEADING.exec(rest);
    const fence = this.#line.length < MAX_FENCE_LINE_CHARS ? FENCE.exec(rest) : null;
    if (!heading && !fence && !RULE.test(rest)) return false;
    this.#closeTo(depth);
    this.#closeLeaf();
    if (heading) {
      const leaf = new TextLeaf("heading", this.#createHeading(heading[1]?.length ?? 1), this.#context);
      this.#addLeaf(leaf).add(rest.slice(heading[0].length));
    } else if (fence) {
      const info = (fence[2] ?? fence[4] ?? "").trim();
      this.#addLeaf(new CodeLeaf(this.#context, info, fence[1] ?? fence[3] ?? "", indent));
    } else {
      this.#addBlock(createElement("hr"));
    }
    return true;
  }

  /** @param {number} depth @param {number} indent */
  #openQuote(depth, indent) {
    this.#closeTo(depth);
    this.#closeLeaf();
    this.#readQuoteMarker(indent);
    this.#open.push({ node: this.#addBlock(createElement("blockquote")) });
  }

  /** @param {number} depth @param {number} indent @param {RegExpExecArray} item */
  #openItem(depth, indent, [marker, bullet, number, delimiter]) {
    const type = bullet ?? delimiter ?? "";
    const previous = this.#open[depth];
    const list = previous?.list === type ? previous.node.parentElement : null;
    this.#closeTo(depth);
    this.#closeLeaf();
    this.#skip(indent);
    this.#at += marker.length;
    const { indent: space, rest } = this.#peek();
    const spaces = rest ? space : 1;
    this.#skip(spaces);
    const node = createElement("li");
    (list ?? this.#addList(number)).append(node);
    const task = TASK.exec(this.#line.slice(this.#at));
    this.#at += task?.[0].length ?? 0;
    const mark = task ? createElement("span", "task", task[1] === " " ? "☐ " : "☑ ") : undefined;
    this.#open.push({ node, list: type, indent: indent + marker.length + spaces, task: mark });
  }

  /** @param {string} [number] the number of the first item */
  #addList(number) {
    if (number === undefined) return this.#addBlock(createElement("ul"));
    const list = createElement("ol");
    if (Number(number) !== 1) list.setAttribute("start", String(Number(number)));
    return this.#addBlock(list);
  }

  /** @param {CodeLeaf} leaf */
  #readFenced(leaf) {
    const { indent, rest } = this.#peek();
    const marker = trimSpaces(rest);
    const { fence, fenceIndent } = leaf;
    if (indent < 4 && marker.startsWith(fence) && !marker.replaceAll(fence[0] ?? "", "")) return this.#closeLeaf();
    this.#skip(Math.min(indent, fenceIndent));
    leaf.add(this.#line.slice(this.#at));
  }

  /** Closes the containers that are deeper. @param {number} depth */
  #closeTo(depth) {
    if (depth >= this.#open.length) return;
    this.#closeLeaf();
    this.#open.length = depth;
  }

  #closeLeaf() {
    this.#leaf?.close();
    this.#leaf = null;
  }

  /** Returns the indentation of the rest of the line in columns, and the text after it. */
  #peek() {
    const [space = ""] = /^[ \t]*/.exec(this.#line.slice(this.#at)) ?? [];
    return { indent: space.replaceAll("\t", TAB).length, rest: this.#line.slice(this.#at + space.length) };
  }

  /** Skips spaces and tabs. @param {number} columns */
  #skip(columns) {
    for (let left = columns; left > 0 && /[ \t]/.test(this.#line[this.#at] ?? ""); this.#at += 1) {
      left -= this.#line[this.#at] === "\t" ? TAB.length : 1;
    }
  }
}

/**
 * Returns whether an item may end a paragraph.
 * @param {RegExpExecArray} item @param {string} rest
 */
function mayInterrupt([marker, bullet, number], rest) {
  return (bullet !== undefined || Number(number) === 1) && rest.slice(marker.length).trim() !== "";
}

/** Tables: a row is shown when it is complete. */

import { createElement } from "./characters.js";
import { renderInline } from "./inline.js";

/** @typedef {import("./leaves.js").Context} Context */

/** A wider table is shown as text. */
const MAX_COLUMNS = 30;

/** A table, which grows by whole rows. */
export class TableLeaf {
  kind = /** @type {const} */ ("table");
  node = createElement("div", "table");
  #body = createElement("tbody");
  #alignments;
  #context;
  #row = "";

  /** @param {Context} context @param {string[]} header @param {string[]} delimiters */
  constructor(context, header, delimiters) {
    this.#context = context;
    this.#alignments = delimiters.map(alignmentOf);
    const table = createElement("table");
    const head = createElement("thead");
    head.append(this.#createRow(header, "th"));
    table.append(head, this.#body);
    this.node.append(table);
    // A table that scrolls must be reachable with the keyboard.
    this.node.tabIndex = 0;
  }

  /** @param {string} text */
  add(text) {
    this.#row += text;
  }

  endLine() {
    if (this.#row) this.#body.append(this.#createRow(splitRow(this.#row.trim()), "td"));
    this.#row = "";
  }

  draw() {}

  close() {
    if (!this.#body.hasChildNodes()) this.#body.remove();
  }

  /** @param {string[]} cells @param {"th" | "td"} tag */
  #createRow(cells, tag) {
    const row = createElement("tr");
    for (const [index, alignment] of this.#alignments.entries()) {
      const text = cells[index];
      // Rows are not filled up, because a line of one character could fill a row of any width.
      if (text === undefined) break;
      const cell = createElement(tag);
      if (tag === "th") cell.setAttribute("scope", "col");
      if (alignment) cell.style.textAlign = alignment;
      cell.append(...renderInline(text, false, this.#context.linkHosts).nodes);
      row.append(cell);
    }
    this.#context.onText([...row.children].map((cell) => cell.textContent).join(", "));
    return row;
  }
}

/** @param {string} delimiter */
function alignmentOf(delimiter) {
  const left = delimiter.startsWith(":");
  const right = delimiter.endsWith(":");
  return left && right ? "center" : right ? "right" : left ? "left" : "";
}

/** Splits a row into its cells. @param {string} row */
export function splitRow(row) {
  const cells = [];
  let cell = "";
  for (let at = row.startsWith("|") ? 1 : 0; at < row.length; at += 1) {
    if (row[at] === "\\" && row[at + 1] === "|") cell += row[++at];
    else if (row[at] === "\\" && at + 1 < row.length) cell += `\\${row[++at]}`;
    else if (row[at] === "|") {
      cells.push(cell.trim());
      cell = "";
    } else cell += row[at];
  }
  if (cell.trim() || !row.endsWith("|")) cells.push(cell.trim());
  return cells;
}


/**
 * Returns the cells of the line above the delimiters if they are the header of a table, else
 * `null`.
 * @param {string} line @param {string[]} delimiters
 */
export function headerCells(line, delimiters) {
  const cells = splitRow(line.trim());
  return cells.length === delimiters.length && cells.length <= MAX_COLUMNS ? cells : null;
}

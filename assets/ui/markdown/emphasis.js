/** Pairs the delimiters of emphasis, as CommonMark does, with bounds on length and depth. */

import { createElement, createText } from "./characters.js";

/**
 * A part of the text: a node, plain text, or a run of delimiters, which has a `mark`.
 * @typedef {object} Part
 * @property {Node} [node]
 * @property {string} [text]
 * @property {number} depth     how deep elements are nested in the node
 * @property {number} start     the offset at which the part begins
 * @property {number} end
 * @property {string} [mark]    the delimiter
 * @property {number} [length]  the number of delimiters in the text
 * @property {number} [left]    the number of delimiters without a partner
 * @property {boolean} [opens]
 * @property {boolean} [closes]
 */

/** @typedef {Part & {mark: string, length: number, left: number}} Run */
/** @typedef {{run: Run, index: number}} Opener  a run that may find a partner, and its index */

/**
 * The maximum length of an emphasis, a code span or a link. It bounds the part of a growing
 * paragraph that can still change.
 */
export const MAX_SPAN = 1000;

/** Elements nested deeper than this are shown as plain text. */
export const MAX_DEPTH = 12;

/** An unfinished construct that is longer was probably not meant as one. */
export const MAX_UNFINISHED = 300;

/**
 * Replaces delimiters by elements.
 * @param {Part[]} parts
 * @returns {{parts: Part[], openers: Opener[]}} the parts with what was not replaced
 */
export function pairDelimiters(parts) {
  /** @type {Part[]} */
  const done = [];
  /** @type {Opener[]} */
  const openers = [];
  for (const part of parts) {
    if (!isRun(part)) {
      done.push(part);
      continue;
    }
    while (part.closes && part.left > 0) {
      const index = findOpener(openers, part);
      if (index < 0 || !wrap(done, openers[index], part)) break;
      openers.length = index + (openers[index]?.run.left ? 1 : 0);
    }
    if (part.left > 0) done.push(part);
    if (part.left > 0 && part.opens) openers.push({ run: part, index: done.length - 1 });
  }
  return { parts: done, openers };
}

/** @param {Part} part @returns {part is Run} */
function isRun(part) {
  return part.mark !== undefined;
}

/** @param {Opener[]} openers @param {Run} closer */
function findOpener(openers, closer) {
  for (let index = openers.length - 1; index >= 0; index -= 1) {
    const run = openers[index]?.run;
    if (!run || closer.start - run.start > MAX_SPAN) return -1;
    if (run.mark !== closer.mark) continue;
    if (run.mark === "~" ? run.left === closer.left : mayPair(run, closer)) return index;
  }
  return -1;
}

/** @param {Run} opener @param {Run} closer */
function mayPair(opener, closer) {
  if (!opener.closes && !closer.opens) return true;
  const sum = opener.length + closer.length;
  return sum % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/**
 * Moves the parts after an opener into an element. Returns `false` if that would nest too deep.
 * @param {Part[]} done @param {Opener | undefined} opener @param {Run} [closer]
 */
function wrap(done, opener, closer) {
  if (!opener) return false;
  const { run, index } = opener;
  const inner = done.slice(index + 1);
  const depth = 1 + deepest(inner);
  if (depth > MAX_DEPTH) return false;
  const count = run.mark === "~" ? run.left : run.left > 1 && (closer?.left ?? 2) > 1 ? 2 : 1;
  const node = createElement(run.mark === "~" ? "del" : count === 2 ? "strong" : "em");
  for (const child of toNodes(inner)) node.append(child);
  run.left -= count;
  if (closer) closer.left -= count;
  done.length = run.left > 0 ? index + 1 : index;
  done.push({ node, depth, start: run.start, end: closer ? closer.end : Infinity });
  return true;
}

/**
 * Treats delimiters without a partner on the last line as if their partners followed the text.
 * @param {Part[]} parts @param {Opener[]} openers @param {string} text
 */
export function closeOpeners(parts, openers, text) {
  const from = Math.max(text.lastIndexOf("\n") + 1, text.length - MAX_UNFINISHED);
  for (const opener of openers.toReversed()) {
    if (opener.run.start < from) return;
    if (opener.index === parts.length - 1) parts.pop();
    while (opener.run.left > 0 && opener.index < parts.length && wrap(parts, opener));
  }
}

/** @param {Part[]} parts */
export function deepest(parts) {
  return parts.reduce((depth, part) => Math.max(depth, part.depth), 0);
}

/** @param {Part[]} parts */
export function toNodes(parts) {
  /** @type {Node[]} */
  const nodes = [];
  let text = "";
  for (const part of [...parts, null]) {
    if (part && !part.node) {
      text += part.text ?? (part.mark ?? "").repeat(part.left ?? 0);
      continue;
    }
    if (text) nodes.push(createText(text));
    text = "";
    if (part?.node) nodes.push(part.node);
  }
  return nodes;
}

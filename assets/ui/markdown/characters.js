/** Characters and nodes of Markdown: entities, escapes, classes of characters, text nodes. */

const PUNCTUATION = /[\p{P}\p{S}]/u;
const CJK = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}]/u;
const ENTITY = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]\w{1,9}));/iy;

/** Characters that change the direction of the text after them, and so the look of a host name. */
const BIDI_CONTROLS = /[\u202a-\u202e\u2066-\u2069]/g;

/** The named entities that models write. Others are shown as they are written. */
const ENTITIES = new Map(
  "amp& lt< gt> quot\" apos' nbsp\u00a0 copy© hellip… mdash— ndash–"
    .split(" ")
    .map((entity) => [entity.slice(0, -1), entity.slice(-1)]),
);

/**
 * Creates an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function createElement(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * Creates a text node without characters that would disorder the text around them.
 * @param {string} text
 */
export function createText(text) {
  return document.createTextNode(text.replace(BIDI_CONTROLS, "").replaceAll("\0", "\ufffd"));
}

/**
 * Returns the entity at an offset and the character for which it stands, or `null`.
 * @param {string} text @param {number} at
 */
export function entityAt(text, at) {
  ENTITY.lastIndex = at;
  const match = ENTITY.exec(text);
  if (!match) return null;
  const [source, decimal, hex, name] = match;
  const code = decimal ? Number(decimal) : Number.parseInt(hex ?? "", 16);
  const valid = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  const character = name ? ENTITIES.get(name) : valid ? String.fromCodePoint(code) : "\ufffd";
  return character === undefined ? null : { source, character };
}

/** Replaces escapes and entities. @param {string} text */
export function unescape(text) {
  return text.replace(/\\([!-/:-@[-`{-~])|&#?\w{1,10};/g, (source, escaped) => escaped ?? entityAt(source, 0)?.character ?? source);
}

/** @param {string} character */
export function isAsciiPunctuation(character) {
  return /[!-/:-@[-`{-~]/.test(character);
}

/** @param {string} character */
export function isPunctuation(character) {
  return PUNCTUATION.test(character);
}

/**
 * Returns whether delimiters can begin (or end) emphasis of the text on their inner side. Chinese,
 * Japanese and Korean have no spaces between words, so their letters count as such on the outer
 * side.
 * @param {string} inner @param {string} outer  a character; empty at the ends of the text
 */
export function flanks(inner, outer) {
  if (!inner.trim()) return false;
  return !isPunctuation(inner) || !outer.trim() || isPunctuation(outer) || CJK.test(outer);
}

/** Returns the whole character before an offset. @param {string} text @param {number} at */
export function characterBefore(text, at) {
  return [...text.slice(Math.max(0, at - 2), at)].at(-1) ?? "";
}

/** Returns the whole character at an offset. @param {string} text @param {number} at */
export function characterAt(text, at) {
  return [...text.slice(at, at + 2)][0] ?? "";
}

/**
 * Returns how often the character at an offset is repeated.
 * @param {string} text @param {number} at
 */
export function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

/** Removes spaces and tabs at the end. @param {string} text */
export function trimSpaces(text) {
  let end = text.length;
  while (text[end - 1] === " " || text[end - 1] === "\t") end -= 1;
  return text.slice(0, end);
}

/**
 * The text of a block: emphasis, code, links and line breaks, as in CommonMark. Works in linear
 * time, because every search ends after `MAX_SPAN` characters.
 */

import {
  characterAt, characterBefore, createElement, createText, entityAt, flanks, isAsciiPunctuation, isPunctuation,
  runLength, trimSpaces,
} from "./characters.js";
import { MAX_DEPTH, MAX_SPAN, MAX_UNFINISHED, closeOpeners, deepest, pairDelimiters, toNodes } from "./emphasis.js";
import { createLink, destinationAt, trimUrl } from "./links.js";

/** @typedef {import("./emphasis.js").Part} Part */
/** @typedef {import("./links.js").LinkHosts} LinkHosts */
/** @typedef {{part: Part, index: number, image: boolean}} Bracket */

const SPECIAL = /[\\`*_~[\]!<&\n@]|https?:\/\/|www\./gi;
const BARE_URL = /(?:https?:\/\/|www\.)[^\s<>[\]`"|\\^{}\u3000-\u303f\uff00-\uffef]{1,2000}/iy;
/** An address in angle brackets: with a scheme, or of a mailbox. */
const ANGLE_ADDRESS = /<([a-z][a-z0-9+.-]{1,31}:[^\s<>]{0,2000}|[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9.-]{1,255})>/iy;
const LINE_BREAK = /<br ?\/?>/iy;

/** Plain text longer than this is made a part, so that the text can be split there. */
const PLAIN_PART_CHARS = 200;

/** The text cannot be split close to these, because they may belong to something longer. */
const UNSAFE_TO_SPLIT = /[\\`*_~&\s\ud800-\udfff]|www|http/i;

const MAIL_USER = /[a-z0-9][\w.+-]*$/i;
const MAIL_HOST = /@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,9}\.[a-z]{2,63}/iy;

/**
 * Renders a text.
 * @param {string} text
 * @param {boolean} growing  whether more text may follow; then what is unfinished looks finished
 * @param {LinkHosts} [linkHosts]
 * @param {number} [limit]   the length of the text that may settle
 * @param {number} [from]    the length of the text that has been rendered before
 * @returns {{nodes: Node[], settled: number}} the nodes, and the length of the text that no later
 *   text can change
 */
export function renderInline(text, growing, linkHosts, limit = text.length, from = 0) {
  return new InlineParser(text, growing, linkHosts, limit, from).render();
}

class InlineParser {
  #text;
  #full;
  #growing;
  #linkHosts;
  #at;
  /** Plain text that is not a part yet, and where it begins. */
  #plain = "";
  #plainStart;
  /** @type {Part[]} */
  #parts = [];
  /** @type {Bracket[]} */
  #brackets = [];
  /** How many brackets cannot begin a link, because they contain one. */
  #inactive = 0;
  /** Later text can change the meaning of the text from this offset on. */
  #unsettled;

  /**
   * @param {string} text @param {boolean} growing @param {LinkHosts | undefined} linkHosts
   * @param {number} limit @param {number} from
   */
  constructor(text, growing, linkHosts, limit, from) {
    this.#full = text;
    // The last delimiters are not shown until it is clear what they are.
    this.#text = growing ? text.replace(/(?:[*_~`\\]{1,4}|&#?\w{0,9})$/, "") : text;
    this.#growing = growing;
    this.#linkHosts = linkHosts;
    this.#unsettled = Math.min(limit, text.length);
    this.#at = this.#plainStart = from;
  }

  render() {
    while (this.#at < this.#text.length) this.#next();
    this.#flush();
    const { parts, openers } = pairDelimiters(this.#parts);
    if (!this.#growing) return { nodes: toNodes(parts), settled: this.#full.length };
    const open = this.#brackets.filter(({ image }, index) => image || index >= this.#inactive).map(({ part }) => part);
    for (const part of [...open, ...openers.map(({ run }) => run)]) {
      if (part.start >= this.#full.length - MAX_SPAN) this.#unsettle(part.start);
    }
    const settled = settledLength(this.#full, parts, this.#unsettled);
    const last = open.at(-1);
    // Of an unfinished link only its text is shown.
    if (last && this.#isShort(last.start)) last.text = "";
    closeOpeners(parts, openers, this.#text);
    return { nodes: toNodes(parts), settled };
  }

  /** @param {number} from */
  #unsettle(from) {
    this.#unsettled = Math.min(this.#unsettled, from);
  }

  /**
   * Returns whether the text from an offset on may be an unfinished construct.
   * @param {number} start
   */
  #isShort(start) {
    return this.#growing && this.#full.length - start < MAX_UNFINISHED && !this.#full.includes("\n", start);
  }

  /** Reads plain text up to the next special character, and that character. */
  #next() {
    SPECIAL.lastIndex = this.#at;
    const match = SPECIAL.exec(this.#text);
    const index = match?.index ?? this.#text.length;
    this.#plain += this.#text.slice(this.#at, index);
    this.#at = index;
    // These look at the plain text before them.
    const looksBack = match && /[@_w\n]/i.test(match[0]);
    if (this.#plain.length > PLAIN_PART_CHARS && !looksBack) this.#flush();
    if (match && !this.#special(match[0])) this.#addPlain(match[0]);
  }

  /** @param {string} special @returns {boolean} whether it was more than plain text */
  #special(special) {
    switch (special) {
      case "\\":
        return this.#escape();
      case "`":
        return this.#code();
      case "\n":
        return this.#newline();
      case "<":
        return this.#angle();
      case "&":
        return this.#entity();
      case "@":
        return this.#mail();
      case "]":
        return this.#closeBracket();
      case "[":
        return this.#openBracket("[");
      case "!":
        return this.#text[this.#at + 1] === "[" && this.#openBracket("![");
      case "*":
      case "_":
      case "~":
        return this.#delimiters(special);
      default:
        return this.#bareUrl();
    }
  }

  /** Adds plain text for the next characters. @param {string} plain @param {number} [length] */
  #addPlain(plain, length = plain.length) {
    this.#plain += plain;
    this.#at += length;
    return true;
  }

  #flush() {
    const start = this.#plainStart;
    if (this.#plain) this.#parts.push({ text: this.#plain, depth: 0, start, end: this.#at });
    this.#plain = "";
    this.#plainStart = this.#at;
  }

  /** Adds a part for the next characters. @param {number} length @param {Partial<Part>} part */
  #add(length, part) {
    this.#flush();
    const start = this.#at;
    this.#plainStart = this.#at += length;
    this.#parts.push({ depth: 1, ...part, start, end: this.#at });
    return true;
  }

  /** @param {RegExp} pattern a sticky pattern */
  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }

  #escape() {
    const next = this.#text[this.#at + 1] ?? "";
    if (next === "\n") return this.#break(2);
    return isAsciiPunctuation(next) && this.#addPlain(next, 2);
  }

  /** @param {number} length the number of characters that stand for the line break */
  #break(length) {
    this.#add(length, { node: createElement("br") });
    this.#skipSpaces();
    this.#plainStart = this.#at;
    return true;
  }

  #newline() {
    const hard = this.#plain.endsWith("  ");
    this.#plain = trimSpaces(this.#plain);
    if (hard) return this.#break(1);
    this.#addPlain("\n");
    return this.#skipSpaces();
  }

  #skipSpaces() {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at += 1;
    return true;
  }

  #code() {
    const ticks = runLength(this.#text, this.#at);
    const start = this.#at + ticks;
    const limit = Math.min(this.#text.length, start + MAX_SPAN);
    for (let at = start; at < limit; ) {
      const run = this.#text[at] === "`" ? runLength(this.#text, at) : 0;
      if (run === ticks) return this.#addCode(this.#text.slice(start, at), at + ticks);
      at += run || 1;
    }
    if (this.#growing && start + MAX_SPAN >= this.#text.length) this.#unsettle(this.#at);
    const unfinished = ticks < 3 && start < this.#text.length && this.#isShort(this.#at);
    if (unfinished) return this.#addCode(this.#text.slice(start), this.#text.length);
    return this.#addPlain("`".repeat(ticks));
  }

  /** @param {string} content @param {number} end */
  #addCode(content, end) {
    const line = content.replaceAll("\n", " ");
    const padded = line.startsWith(" ") && line.endsWith(" ") && line.trim();
    const node = createElement("code");
    node.append(createText(padded ? line.slice(1, -1) : line));
    return this.#add(end - this.#at, { node });
  }

  #angle() {
    const lineBreak = this.#match(LINE_BREAK);
    if (lineBreak) return this.#break(lineBreak[0].length);
    const address = this.#match(ANGLE_ADDRESS)?.[1];
    if (!address) return false;
    return this.#addLink(address.includes(":") ? address : `mailto:${address}`, address, address.length + 2);
  }

  #entity() {
    const entity = entityAt(this.#text, this.#at);
    return Boolean(entity && this.#addPlain(entity.character, entity.source.length));
  }

  #mail() {
    const user = MAIL_USER.exec(this.#plain.slice(-64))?.[0];
    const host = user && this.#match(MAIL_HOST)?.[0];
    if (!host) return false;
    this.#plain = this.#plain.slice(0, -user.length);
    this.#at -= user.length;
    return this.#addLink(`mailto:${user}${host}`, user + host);
  }

  #bareUrl() {
    const url = trimUrl(this.#match(BARE_URL)?.[0] ?? "");
    const before = characterBefore(this.#text, this.#at);
    if (/[\p{L}\p{N}]/u.test(before) || !/[./]./.test(url)) return false;
    // An address at the end may still grow.
    if (this.#growing && this.#at + url.length >= this.#text.length - 1) return this.#addPlain(url);
    return this.#addLink(/^www/i.test(url) ? `https://${url}` : url, url);
  }

  /**
   * Adds a link, if it is allowed.
   * @param {string} address @param {string} text @param {number} [length]
   */
  #addLink(address, text, length = text.length) {
    const node = createLink(address, [createText(text)], this.#linkHosts);
    return node ? this.#add(length, { node }) : this.#addPlain(this.#text.slice(this.#at, this.#at + length));
  }

  /** @param {string} mark */
  #delimiters(mark) {
    const length = runLength(this.#text, this.#at);
    const before = characterBefore(this.#text, this.#at);
    const after = characterAt(this.#text, this.#at + length);
    const left = flanks(after, before);
    const right = flanks(before, after);
    const anywhere = mark !== "_";
    const opens = left && (anywhere || !right || isPunctuation(before));
    const closes = right && (anywhere || !left || isPunctuation(after));
    if ((!opens && !closes) || (mark === "~" && length > 2)) return this.#addPlain(mark.repeat(length));
    return this.#add(length, { mark, length, left: length, opens, closes, depth: 0 });
  }

  /** @param {string} source */
  #openBracket(source) {
    this.#add(source.length, { text: source, depth: 0 });
    const part = /** @type {Part} */ (this.#parts.at(-1));
    this.#brackets.push({ part, index: this.#parts.length - 1, image: source !== "[" });
    return true;
  }

  #closeBracket() {
    const bracket = this.#brackets.pop();
    if (!bracket) return false;
    const active = bracket.image || this.#brackets.length >= this.#inactive;
    this.#inactive = Math.min(this.#inactive, this.#brackets.length);
    const { start } = bracket.part;
    const nested = deepest(this.#parts.slice(bracket.index + 1));
    if (!active || this.#at - start > MAX_SPAN || nested >= MAX_DEPTH) return false;
    const destination = destinationAt(this.#text, this.#at + 1, start + 2 * MAX_SPAN);
    if (destination) return this.#addBracketed(bracket, destination.address, destination.end);
    if (destination === null || !this.#growing) return false;
    this.#unsettle(start);
    // The destination is not shown until it is complete.
    return this.#isShort(start) && this.#addBracketed(bracket, "", this.#text.length);
  }

  /** @param {Bracket} bracket @param {string} address @param {number} end */
  #addBracketed({ part, index, image }, address, end) {
    this.#flush();
    const inner = pairDelimiters(this.#parts.splice(index + 1)).parts;
    this.#parts.pop();
    const depth = 1 + deepest(inner);
    const label = toNodes(inner);
    if (image && label.length === 0) label.push(createText(address));
    const link = createLink(address, label, this.#linkHosts);
    if (link && !image) this.#inactive = this.#brackets.length;
    const node = link ?? createElement("span");
    if (!link) node.append(...label);
    this.#parts.push({ node, depth, start: part.start, end });
    this.#plainStart = this.#at = end;
    return true;
  }
}

/**
 * Returns the length of the text that no later text can change. Close to the end it can only be
 * split between words, elsewhere also between parts.
 * @param {string} text @param {Part[]} parts @param {number} unsettled
 */
function settledLength(text, parts, unsettled) {
  const far = text.length - 2 * MAX_SPAN;
  for (const part of parts.toReversed()) {
    if (part.start > unsettled) continue;
    const isPlain = part.text !== undefined;
    for (let at = Math.min(part.end, unsettled); isPlain && at > part.start; at -= 1) {
      if (isWordStart(text, at) || (at < far && maySplit(text, at))) return at;
    }
    if (part.start <= far || isWordStart(text, part.start)) return part.start;
  }
  return 0;
}

/** @param {string} text @param {number} at */
function isWordStart(text, at) {
  return /^\s\S$/.test(text.slice(Math.max(0, at - 1), at + 1));
}

/** @param {string} text @param {number} at */
function maySplit(text, at) {
  return !UNSAFE_TO_SPLIT.test(text.slice(Math.max(0, at - 12), at + 12));
}

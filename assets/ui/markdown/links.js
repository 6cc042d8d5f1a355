/**
 * Links in answers: which addresses become links, and when a link shows where it goes. An answer
 * may contain text of strangers, so a link must not look as if it led elsewhere.
 */

import { createElement, createText, unescape } from "./characters.js";

/** @typedef {((host: string) => boolean) | ReadonlySet<string>} LinkHosts */

const PROTOCOLS = new Set(["http:", "https:", "mailto:", "tel:"]);

/** Browsers and servers do not agree about longer addresses. */
const MAX_ADDRESS_CHARS = 2000;

/** How deep the parentheses in an address may be nested, as CommonMark allows. */
const MAX_PARENTHESES = 32;

/** What a reader takes for an address: a scheme, "www.", or a text that is only a host and path. */
const ADDRESS_IN_TEXT = /(?::\/\/|www\.)([^\s/?#]*)|^\s*((?:[^\s/?#@.]+\.)+[^\s/?#@.\d]{2,})(?::\d+)?(?:[/?#]\S*)?\s*$/i;

/**
 * Creates a link, or returns `null` if the address may not become one.
 * @param {string} address @param {Node[]} label @param {LinkHosts} [linkHosts]
 */
export function createLink(address, label, linkHosts) {
  const url = parseAddress(address);
  if (!url) return null;
  const link = createElement("a");
  link.setAttribute("href", url.href);
  link.rel = "noopener noreferrer nofollow";
  if (url.host) link.target = "_blank";
  link.append(...label);
  // Links do not contain links.
  for (const inner of link.querySelectorAll("a")) {
    inner.querySelector(".destination")?.remove();
    inner.replaceWith(...inner.childNodes);
  }
  const destination = hiddenDestination(url, link.textContent ?? "", linkHosts);
  if (destination) {
    const node = createElement("bdi", "destination", ` (${destination})`);
    node.dir = "ltr";
    link.append(node);
  }
  return link;
}

/** @param {string} address */
function parseAddress(address) {
  if (address.length > MAX_ADDRESS_CHARS) return null;
  try {
    const url = new URL(address);
    return PROTOCOLS.has(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/**
 * Returns where a link goes if its text does not say so, else an empty string. The host is in
 * ASCII, so that letters of other scripts cannot imitate a known name.
 * @param {URL} url @param {string} text @param {LinkHosts} [linkHosts]
 */
function hiddenDestination(url, text, linkHosts) {
  if (!url.host) {
    const address = readable(url.pathname);
    const plain = (/** @type {string} */ value) => value.toLowerCase().replace(/[\s()/-]/g, "");
    return plain(text).includes(plain(address)) ? "" : address;
  }
  const [, host, bareHost] = ADDRESS_IN_TEXT.exec(text) ?? [];
  const shown = host ?? bareHost;
  if (shown !== undefined) return sameHost(shown, url.host) && !url.username ? "" : url.host;
  return isKnown(url.hostname, linkHosts) ? "" : url.host;
}

/** @param {string} shown @param {string} host */
function sameHost(shown, host) {
  const plain = (/** @type {string} */ value) => value.toLowerCase().replace(/^www\./, "").replace(/[.,:;!?]+$/, "");
  return plain(shown) === plain(host);
}

/** @param {string} path */
function readable(path) {
  try {
    return createText(decodeURIComponent(path)).data;
  } catch {
    return path;
  }
}

/**
 * Returns whether a host or one of its parent domains belongs to the owner.
 * @param {string} hostname @param {LinkHosts} [linkHosts]
 */
function isKnown(hostname, linkHosts) {
  if (!linkHosts) return false;
  const isListed = typeof linkHosts === "function" ? linkHosts : (/** @type {string} */ host) => linkHosts.has(host);
  const labels = hostname.split(".");
  if (isListed(`www.${hostname}`)) return true;
  // A single label is a top-level domain, which belongs to no owner, or the name of a local host.
  return labels.some((_, index) => (index === 0 || index < labels.length - 1) && isListed(labels.slice(index).join(".")));
}

/**
 * Reads the destination of an inline link at an offset: `(address "title")`.
 * @param {string} text @param {number} start @param {number} limit  where the search ends
 * @returns {{address: string, end: number} | null | undefined} `undefined` if the text ends before
 *   the destination does
 */
export function destinationAt(text, start, limit) {
  const open = /(?:\([ \t\n]*)?/y;
  open.lastIndex = start;
  if (open.exec(text)?.[0] === "") return start < text.length ? null : undefined;
  const address = addressAt(text, open.lastIndex, limit);
  if (!address) return address;
  const title = /[ \t\n]*/y;
  title.lastIndex = address.end;
  const space = title.exec(text)?.[0] ?? "";
  let end = title.lastIndex;
  const quote = space && { '"': '"', "'": "'", "(": ")" }[text[end] ?? ""];
  if (quote) {
    for (end += 1; end < limit && end < text.length && text[end] !== quote; end += 1) if (text[end] === "\\") end += 1;
    title.lastIndex = end + 1;
    title.exec(text);
    end = Math.max(end, title.lastIndex);
  }
  if (end >= limit) return null;
  if (end >= text.length) return undefined;
  return text[end] === ")" ? { address: unescape(address.source), end: end + 1 } : null;
}

/** @param {string} text @param {number} start @param {number} limit */
function addressAt(text, start, limit) {
  const angle = text[start] === "<";
  let depth = 0;
  for (let at = angle ? start + 1 : start; at < limit; at += 1) {
    const character = text[at];
    if (character === undefined) return undefined;
    if (character === "\\") at += 1;
    else if (angle) {
      if (character === ">") return { source: text.slice(start + 1, at), end: at + 1 };
      if (character === "<" || character === "\n") return null;
    } else if (character <= " " || (character === ")" && depth === 0)) {
      return depth === 0 ? { source: text.slice(start, at), end: at } : null;
    } else if (character === "(") {
      depth += 1;
      if (depth > MAX_PARENTHESES) return null;
    } else if (character === ")") depth -= 1;
  }
  return null;
}

/** Removes the punctuation of the sentence from the end of an address. @param {string} url */
export function trimUrl(url) {
  let end = url.length;
  let unopened = url.split(")").length - url.split("(").length;
  for (;;) {
    const last = url[end - 1] ?? "";
    if (last === ")" && unopened > 0) unopened -= 1;
    else if (!/[?!.,:;*_~'"]/.test(last)) return url.slice(0, end);
    end -= 1;
  }
}

/** The picture of the person: an image of the owner, or else the initials. */

import { createElement, setText } from "./dom.js";

/** @param {string} [size] an additional class */
export function createMonogram(size = "") {
  return createElement("span", { className: `monogram ${size}`, part: "monogram", "aria-hidden": "true" });
}

/**
 * @param {HTMLElement} node
 * @param {string} name  the name of the person
 * @param {string} [avatar]  the address of an image
 */
export function drawMonogram(node, name, avatar) {
  if (!avatar) return setText(node, initials(name));
  if (!node.firstElementChild) node.replaceChildren(createElement("img", { src: avatar, alt: "", part: "avatar" }));
}

/** Returns the first letters of the first and last word. @param {string} name */
function initials(name) {
  const words = name.split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "");
  return letters.join("").toUpperCase();
}

/** Copies text to the clipboard. */

import { createElement } from "./dom.js";

/**
 * Copies a text. Without TLS there is no `navigator.clipboard`, so the older command is used.
 * @param {string} text
 * @param {HTMLElement} origin  the button that was pressed, which keeps the focus
 * @returns {Promise<boolean>} whether the text was copied
 */
export async function copyText(text, origin) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = createElement("textarea", { className: "visually-hidden", value: text });
    origin.after(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    origin.focus();
    return copied;
  }
}

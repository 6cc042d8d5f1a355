/** Downloads the conversation as a Markdown file. */

import { createElement } from "./dom.js";
import { isQuote, outcomeText } from "./notices.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./i18n.js").Texts} Texts */

/** The browser reads the file some time after the click. */
const REVOKE_AFTER_MS = 60_000;

/**
 * Returns the conversation as Markdown.
 * @param {Texts} t @param {string} title @param {Turn[]} turns @param {Date} now
 */
export function transcriptMarkdown(t, title, turns, now) {
  const date = new Intl.DateTimeFormat(t.language, { dateStyle: "long", timeStyle: "short" }).format(now);
  const parts = turns.map((turn) => {
    const label = isQuote(turn) ? `*${t("turn.quoted")}*` : "";
    const outcome = outcomeText(t, turn);
    return [`## ${turn.question.replace(/\s+/g, " ")}`, label, turn.answer, outcome && `*${outcome}*`].filter(Boolean).join("\n\n");
  });
  return `${[`# ${title}`, date, ...parts].join("\n\n")}\n`;
}

/**
 * Saves a text as a file of the visitor.
 * @param {string} name @param {string} text @param {Node} container a node of the page
 */
export function saveFile(name, text, container) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/markdown;charset=utf-8" }));
  const link = createElement("a", { href: address, download: name, hidden: true });
  container.appendChild(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), REVOKE_AFTER_MS);
}

/** Offers a comment on a rating. Loaded after the first rating. */

import styles from "./comment.css" with { type: "text" };
import { createButton, createElement } from "./dom.js";
import { addStyles } from "./styles.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./chat-view.js").ChatView} ChatView */

/** The protocol allows comments up to this length. */
const MAX_COMMENT_CHARS = 500;

/** @type {WeakSet<Node>} The documents and shadow roots that have the style sheet. */
const styled = new WeakSet();

/**
 * Shows the form in a place below the answer.
 * @param {ChatView} chat @param {Turn} turn @param {"up" | "down"} rating
 * @param {HTMLElement} place @param {HTMLElement} thumb  gets the focus when the form is closed
 */
export function showCommentForm(chat, turn, rating, place, thumb) {
  const { t, client } = chat;
  const root = place.getRootNode();
  if (!styled.has(root)) addStyles(root, styles);
  styled.add(root);
  const label = t(`comment.${rating}`);
  const field = createElement("textarea", { rows: 2, maxLength: MAX_COMMENT_CHARS, dir: "auto", placeholder: label, "aria-label": label });
  const close = (/** @type {(Node | string)[]} */ ...nodes) => {
    place.replaceChildren(...nodes);
    thumb.focus();
    chat.onResize();
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const comment = field.value.trim();
    const sent = comment !== "" && client.rate(turn, rating, comment);
    if (sent) close(createElement("p", { role: "status" }, t("comment.thanks")));
    else if (!comment) close();
  };
  const keydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  };
  const send = createElement("button", { type: "submit", className: "primary" }, t("comment.send"));
  const skip = createButton({ click: () => close() }, t("comment.skip"));
  place.replaceChildren(createElement("form", { submit, keydown }, field, createElement("div", {}, skip, send)));
  chat.announce(label);
  chat.onResize();
}

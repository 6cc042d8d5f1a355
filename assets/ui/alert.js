/** A message above the question that is about no answer. */

import { createElement, createIcon, createIconButton, setText } from "./dom.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

export class Alert {
  root;
  #text = createElement("span", { role: "alert" });

  /** @param {ChatView} chat */
  constructor({ t }) {
    const hide = () => this.hide();
    const button = createIconButton(t("action.dismiss"), createIcon("close"), { className: "quiet", click: hide });
    this.root = createElement("div", { className: "alert", part: "alert", hidden: true }, this.#text, button);
  }

  /** @param {string} text */
  show(text) {
    this.root.hidden = false;
    setText(this.#text, text);
  }

  hide() {
    this.root.hidden = true;
    setText(this.#text, "");
  }
}

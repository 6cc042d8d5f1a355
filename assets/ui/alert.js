/** A message above the question that is about no answer. */

import { createButton, createElement, createIcon, setText } from "./dom.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

export class Alert {
  root;
  #text = createElement("span", { role: "alert" });

  /** @param {ChatView} chat */
  constructor({ t }) {
    const hide = () => this.hide();
    const button = createButton({ className: "quiet", title: t("action.dismiss"), "aria-label": t("action.dismiss"), click: hide }, createIcon("close"));
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

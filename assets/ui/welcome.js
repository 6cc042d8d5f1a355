/** The first view of an empty conversation: greeting and suggested questions. */

import { createMonogram } from "./monogram.js";
import { createButton, createElement, setText } from "./dom.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

export class Welcome {
  root;
  #chat;
  #monogram;
  #title;
  #suggestions;

  /** @param {ChatView} chat */
  constructor(chat) {
    const { t, options } = chat;
    this.#chat = chat;
    this.#monogram = createMonogram("large");
    this.#title = createElement(options.embedded ? "h3" : "h2", { part: "welcome-title", dir: "auto" });
    this.#suggestions = createElement("ul", { className: "suggestions", part: "suggestions", "aria-label": t("welcome.suggestions") });
    const greeting = createElement("p", { dir: "auto", part: "greeting" }, options.greeting || t("welcome.greeting"));
    this.root = createElement("section", { className: "welcome", part: "welcome" }, this.#monogram, this.#title, greeting, this.#suggestions);
  }

  draw() {
    const { client, options } = this.#chat;
    setText(this.#title, this.#chat.title);
    this.#chat.drawMonogram(this.#monogram);
    const suggestions = options.suggestions?.length ? options.suggestions : (client.session?.suggestions ?? []);
    this.#suggestions.hidden = suggestions.length === 0;
    if (this.#suggestions.dataset.shown === JSON.stringify(suggestions)) return;
    this.#suggestions.dataset.shown = JSON.stringify(suggestions);
    this.#suggestions.replaceChildren(...suggestions.map((suggestion) => this.#createSuggestion(suggestion)));
  }

  /** @param {string} suggestion */
  #createSuggestion(suggestion) {
    const ask = () => {
      // The suggestion is hidden now and would lose the focus.
      if (this.#chat.ask(suggestion)) this.#chat.focusMessages();
      this.#chat.focusComposer();
    };
    return createElement("li", {}, createButton({ dir: "auto", click: ask }, suggestion));
  }
}

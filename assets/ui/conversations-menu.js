/** The button that opens the menu of conversations, whose content is loaded when it is opened. */

import { createElement, createIcon, createIconButton } from "./dom.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

export class ConversationsMenu {
  root;
  #chat;
  #button;
  #panel;
  /** Draws the content of the panel. @type {(() => void) | null} */
  #showList = null;

  /** @param {ChatView} chat */
  constructor(chat) {
    const label = chat.t("header.menu");
    this.#chat = chat;
    this.#panel = createElement("div", { id: "conversations", className: "menu", part: "menu", role: "dialog", "aria-label": label, hidden: true });
    this.#button = createIconButton(label, createIcon("chats"), {
      className: "quiet",
      part: "menu-button",
      hidden: true,
      "aria-expanded": "false",
      "aria-controls": "conversations",
      "aria-haspopup": "dialog",
      click: () => (this.#panel.hidden ? this.#open() : this.close()),
    });
    this.root = createElement("div", {}, this.#button, this.#panel);
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#panel.hidden) return;
      event.stopPropagation();
      this.close();
    });
    // Also closes when the focus leaves, by the keyboard or by a click elsewhere.
    this.root.addEventListener("focusout", (event) => {
      const next = /** @type {Node | null} */ (event.relatedTarget);
      if (next && !this.root.contains(next)) this.close({ keepFocus: true });
    });
    chat.root.addEventListener("pointerdown", (event) => {
      if (!event.composedPath().includes(this.root)) this.close({ keepFocus: true });
    });
  }

  /** Returns the conversations other than the current one. */
  get kept() {
    const { client } = this.#chat;
    return client.conversations.filter(({ sessionId }) => sessionId !== client.session?.session_id);
  }

  draw() {
    this.#button.hidden = this.#chat.client.turns.length === 0 && this.kept.length === 0;
    if (this.#button.hidden) this.close({ keepFocus: true });
  }

  close({ keepFocus = false } = {}) {
    if (this.#panel.hidden) return;
    this.#panel.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    if (!keepFocus) this.#button.focus();
  }

  async #open() {
    try {
      this.#showList ??= await this.#load();
    } catch {
      return this.#chat.warn(this.#chat.t("error.unknown"));
    }
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#showList();
  }

  async #load() {
    const [{ ConversationsList }] = await Promise.all([import("./conversations-list.js"), this.#chat.t.addMore()]);
    const list = new ConversationsList(this.#chat, this, this.#panel);
    return () => list.show();
  }
}

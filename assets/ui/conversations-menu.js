/** The menu of conversations: download and delete this one, reopen and delete earlier ones. */

import { createButton, createElement, createIcon } from "./dom.js";
import { formatPast } from "./times.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */
/** @typedef {{sessionId: string, title: string, at: number | string}} KeptConversation */

export class ConversationsMenu {
  root;
  #chat;
  #button;
  #panel;

  /** @param {ChatView} chat */
  constructor(chat) {
    const label = chat.t("header.menu");
    this.#chat = chat;
    this.#panel = createElement("div", { id: "conversations", className: "menu", part: "menu", role: "dialog", "aria-label": label, hidden: true });
    this.#button = createButton(
      {
        className: "quiet",
        part: "menu-button",
        hidden: true,
        title: label,
        "aria-label": label,
        "aria-expanded": "false",
        "aria-controls": "conversations",
        "aria-haspopup": "dialog",
        click: () => (this.#panel.hidden ? this.#open() : this.close()),
      },
      createIcon("chats"),
    );
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

  draw() {
    this.#button.hidden = this.#chat.client.turns.length === 0 && this.#kept().length === 0;
    if (this.#button.hidden) this.close({ keepFocus: true });
  }

  close({ keepFocus = false } = {}) {
    if (this.#panel.hidden) return;
    this.#panel.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    if (!keepFocus) this.#button.focus();
  }

  #open() {
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#showList();
  }

  /** Returns the conversations other than the current one. @returns {KeptConversation[]} */
  #kept() {
    const { client } = this.#chat;
    return (client.conversations ?? []).filter(({ sessionId }) => sessionId !== client.session?.session_id);
  }

  #showList() {
    const { client, t } = this.#chat;
    const kept = this.#kept();
    const nodes = [];
    if (client.turns.length > 0) {
      nodes.push(
        this.#createItem("add", "header.startOver", () => this.#chat.startOver()),
        this.#createItem("download", "conversations.download", () => this.#chat.download()),
        this.#createItem("delete", "conversations.delete", () => this.#confirm(t("conversations.confirm"), () => this.#chat.forget()), "forget"),
      );
    }
    if (kept.length > 0) {
      nodes.push(
        createElement("p", { className: "heading", "aria-hidden": "true" }, t("conversations.earlier")),
        createElement("ul", { "aria-label": t("conversations.earlier") }, ...kept.map((conversation) => this.#createRow(conversation))),
        this.#createItem("delete", "conversations.deleteAll", () => this.#confirm(t("conversations.confirmAll"), () => this.#delete(() => client.deleteAllConversations())), "delete-all"),
      );
    }
    this.#panel.replaceChildren(...nodes);
    this.#panel.querySelector("button")?.focus();
  }

  /**
   * @param {Parameters<typeof createIcon>[0]} icon @param {string} key
   * @param {() => void} choose @param {string} [part]
   */
  #createItem(icon, key, choose, part = icon) {
    const click = () => {
      // A deletion is confirmed in the menu.
      if (icon !== "delete") this.close();
      choose();
    };
    return createButton({ className: "item", part, click }, createIcon(icon), this.#chat.t(key));
  }

  /** @param {KeptConversation} conversation */
  #createRow({ sessionId, title, at }) {
    const { client, t } = this.#chat;
    const shown = title || t("conversations.untitled");
    const open = () => {
      this.close({ keepFocus: true });
      client.openConversation(sessionId);
      this.#chat.focusMessages();
    };
    const remove = () => this.#confirm(t("conversations.confirmOne", { title: shown }), () => this.#delete(() => client.deleteConversation(sessionId)));
    const time = createElement("time", {}, formatPast(t, new Date(at).getTime()));
    const label = t("conversations.deleteOne", { title: shown });
    return createElement(
      "li",
      {},
      createButton({ className: "item", click: open }, createElement("span", { dir: "auto" }, shown), time),
      createButton({ className: "quiet", title: label, "aria-label": label, click: remove }, createIcon("delete")),
    );
  }

  /** Asks before something is deleted. @param {string} question @param {() => void} act */
  #confirm(question, act) {
    const { t } = this.#chat;
    const keep = createButton({ click: () => this.#showList() }, t("conversations.cancel"));
    const confirmed = () => {
      this.close();
      act();
    };
    const remove = createButton({ className: "danger", part: "confirm", click: confirmed }, t("conversations.confirmed"));
    const text = createElement("p", { id: "conversations-question" }, question);
    this.#panel.replaceChildren(createElement("div", { className: "confirm", role: "group", "aria-labelledby": "conversations-question" }, text, keep, remove));
    keep.focus();
  }

  /** @param {() => Promise<boolean>} request */
  async #delete(request) {
    const { t } = this.#chat;
    const deleted = await request().catch(() => false);
    if (deleted === false) this.#chat.warn(t("conversations.deleteFailed"));
    else this.#chat.announce(t("conversations.deleted"));
    this.#chat.draw();
  }
}

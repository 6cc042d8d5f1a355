/** The menu of conversations: download and delete this one, reopen and delete earlier ones. */

import { createButton, createElement, createIcon, createIconButton } from "./dom.js";
import styles from "./menu.css" with { type: "text" };
import { addStyles } from "./styles.js";
import { formatPast } from "./times.js";
import { saveFile, transcriptMarkdown } from "./transcript-file.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */
/** @typedef {import("./conversations-menu.js").ConversationsMenu} ConversationsMenu */
/** @typedef {import("../client/conversations.js").Conversation} Conversation */

/** Path data in a square of 20 units. */
const DELETE_ICON = "M4 6h12M8 6V4h4v2m-6 0 .6 10h6.8L14 6";
const DOWNLOAD_ICON = "M10 3v9M6 8.5l4 4 4-4M4 16.5h12";

export class ConversationsList {
  #chat;
  #menu;
  #panel;

  /** @param {ChatView} chat @param {ConversationsMenu} menu @param {HTMLElement} panel */
  constructor(chat, menu, panel) {
    this.#chat = chat;
    this.#menu = menu;
    this.#panel = panel;
    addStyles(panel.getRootNode(), styles);
  }

  show() {
    const { client, t } = this.#chat;
    const { kept } = this.#menu;
    const nodes = [];
    if (client.turns.length > 0) {
      const confirm = () => this.#confirm(t("conversations.confirm"), () => this.#deleteCurrent());
      nodes.push(
        this.#createItem("add", createIcon("add"), "header.startOver", this.#closing(() => this.#chat.startOver())),
        this.#createItem("download", createIcon("download", DOWNLOAD_ICON), "conversations.download", this.#closing(() => this.#download())),
        this.#createItem("forget", createDeleteIcon(), "conversations.delete", confirm),
      );
    }
    if (kept.length > 0) {
      const confirm = () => this.#confirm(t("conversations.confirmAll"), () => this.#delete(client.deleteAllConversations()));
      nodes.push(
        createElement("p", { className: "heading", "aria-hidden": "true" }, t("conversations.earlier")),
        createElement("ul", { "aria-label": t("conversations.earlier") }, ...kept.map((conversation) => this.#createRow(conversation))),
        this.#createItem("delete-all", createDeleteIcon(), "conversations.deleteAll", confirm),
      );
    }
    this.#panel.replaceChildren(...nodes);
    this.#panel.querySelector("button")?.focus();
  }

  /** @param {string} part @param {Node} icon @param {string} key @param {() => void} click */
  #createItem(part, icon, key, click) {
    return createButton({ className: "item", part, click }, icon, this.#chat.t(key));
  }

  /** Returns a function that closes the menu and then acts. @param {() => void} act */
  #closing(act) {
    return () => {
      this.#menu.close();
      act();
    };
  }

  /** @param {Conversation} conversation */
  #createRow({ sessionId, title, at }) {
    const { client, t } = this.#chat;
    const shown = title || t("conversations.untitled");
    const open = () => {
      this.#menu.close({ keepFocus: true });
      client.openConversation(sessionId);
      this.#chat.focusMessages();
    };
    const remove = () => this.#confirm(t("conversations.confirmOne", { title: shown }), () => this.#delete(client.deleteConversation(sessionId)));
    const time = createElement("time", {}, formatPast(t, at));
    const label = t("conversations.deleteOne", { title: shown });
    return createElement(
      "li",
      {},
      createButton({ className: "item", click: open }, createElement("span", { dir: "auto" }, shown), time),
      createIconButton(label, createDeleteIcon(), { className: "quiet", click: remove }),
    );
  }

  /** Asks before something is deleted. @param {string} question @param {() => void} act */
  #confirm(question, act) {
    const { t } = this.#chat;
    const keep = createButton({ click: () => this.show() }, t("conversations.cancel"));
    const remove = createButton({ className: "danger", part: "confirm", click: this.#closing(act) }, t("conversations.confirmed"));
    const text = createElement("p", { id: "conversations-question" }, question);
    this.#panel.replaceChildren(createElement("div", { className: "confirm", role: "group", "aria-labelledby": "conversations-question" }, text, keep, remove));
    keep.focus();
  }

  #download() {
    const { client, root, t, title } = this.#chat;
    const now = new Date();
    const name = `conversation-${now.toISOString().slice(0, 10)}.md`;
    saveFile(name, transcriptMarkdown(t, title, client.turns, now), root);
  }

  #deleteCurrent() {
    // The view says when it is deleted.
    if (!this.#chat.client.forget()) this.#warn();
  }

  /** @param {Promise<boolean>} deletion */
  async #delete(deletion) {
    if (await deletion.catch(() => false)) this.#chat.announce(this.#chat.t("conversations.deleted"));
    else this.#warn();
    this.#chat.draw();
  }

  #warn() {
    this.#chat.warn(this.#chat.t("conversations.deleteFailed"));
  }
}

function createDeleteIcon() {
  return createIcon("delete", DELETE_ICON);
}

/** The top of the chat: whom it is about, the state of the connection, and the menu. */

import { ConversationsMenu } from "./conversations-menu.js";
import { createButton, createElement, createIcon, createIconButton, setText } from "./dom.js";
import { createMonogram } from "./monogram.js";
import { loadText } from "./notices.js";
import { formatFuture } from "./times.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

/** A shorter delay is not worth a countdown. */
const SHOW_RETRY_ABOVE_MS = 1_000;
/** The network ended the connection, so the server gave no reason. */
const NO_REASON = 1006;
/** The session was resumed in another window. */
const TAKEN_OVER = 4409;

export class Header {
  root;
  #chat;
  #menu;
  #monogram = createMonogram();
  #title;
  #connection;
  #status = createElement("span", { part: "connection-text", role: "status" });
  /** What screen readers should not read at every change. */
  #detail = createElement("span", { part: "connection-detail" });
  #reconnect;
  #startOver;

  /** @param {ChatView} chat */
  constructor(chat) {
    const { t, options } = chat;
    this.#chat = chat;
    this.#menu = new ConversationsMenu(chat);
    this.#title = createElement(options.embedded ? "h2" : "h1", { part: "title", dir: "auto" });
    const reconnect = () => {
      chat.client.connect();
      chat.focusComposer();
    };
    this.#reconnect = createButton({ className: "link", part: "reconnect", hidden: true, click: reconnect });
    const dot = createElement("span", { className: "dot", "aria-hidden": "true" });
    this.#connection = createElement("div", { className: "connection", part: "connection" }, dot, this.#status, this.#detail, this.#reconnect);
    const startOver = { className: "quiet start-over", part: "start-over", hidden: true, click: () => chat.startOver() };
    this.#startOver = createIconButton(t("header.startOver"), createIcon("add"), startOver);
    const who = createElement("div", { className: "who" }, this.#title, this.#connection);
    this.root = createElement("header", { className: "bar", part: "header" }, this.#monogram, who, this.#startOver, this.#menu.root);
    if (options.embedded) {
      const close = { className: "quiet", part: "close", click: () => options.onClose?.() };
      this.root.append(createIconButton(t("header.close"), createIcon("close"), close));
    }
  }

  draw() {
    const { client, title } = this.#chat;
    setText(this.#title, title);
    this.#title.title = title;
    this.#chat.drawMonogram(this.#monogram);
    this.#startOver.hidden = client.turns.length === 0;
    this.#menu.draw();
    this.drawConnection();
  }

  drawConnection() {
    const { client, t } = this.#chat;
    const { state, session } = client;
    const open = state === "open";
    this.#connection.dataset.state = state;
    const countdown = state === "waiting" && this.#retryDelay() > SHOW_RETRY_ABOVE_MS ? formatFuture(t, client.retryAt) : "";
    // A connection that works need not be mentioned, but who answers should be.
    setText(this.#status, open ? "" : this.#statusText());
    setText(this.#detail, open && session ? t(`header.${session.mode ?? "live"}`) : countdown);
    const takenOver = client.closeCode === TAKEN_OVER;
    setText(this.#reconnect, t(state === "waiting" ? "status.tryNow" : takenOver ? "status.continueHere" : "status.connect"));
    this.#reconnect.hidden = state !== "closed" && !countdown;
  }

  #statusText() {
    const { client, t } = this.#chat;
    const { state, closeCode } = client;
    const hasReason = closeCode !== 0 && closeCode !== NO_REASON;
    if (!hasReason || (state !== "closed" && (state !== "waiting" || closeCode === 1000))) return t(`status.${state}`);
    const reason = `close.${closeCode}`;
    void loadText(t, reason)?.then(() => this.drawConnection());
    return t(t.has(reason) ? reason : `status.${state}`);
  }

  #retryDelay() {
    return this.#chat.client.retryAt - Date.now();
  }
}

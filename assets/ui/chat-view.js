/** Shows the conversation of a client: builds the parts and passes the events of the client on. */

import { Alert } from "./alert.js";
import { Composer } from "./composer.js";
import { createElement } from "./dom.js";
import { Header } from "./header.js";
import { Messages } from "./messages.js";
import { drawMonogram } from "./monogram.js";
import { errorText, isUnfinished, loadText } from "./notices.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./chat.js").ChatOptions} ChatOptions */
/** @typedef {import("./i18n.js").Texts} Texts */
/** @typedef {{code: string, message?: string}} Frame */

export class ChatView {
  root;
  client;
  options;
  t;
  /** The time at which the server accepts questions again, in milliseconds since the epoch. */
  blockedUntil = 0;

  #announcer = createElement("div", { className: "visually-hidden", part: "announcer", "aria-live": "polite", "aria-relevant": "additions" });
  #alert;
  #header;
  #messages;
  #composer;
  #visible = true;
  #unread = 0;
  /** Whether the connection was lost since it was last open. */
  #disconnected = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #tickTimer;

  /**
   * @param {HTMLElement} root  the `.chat` element
   * @param {import("../client/client.js").ChatClient} client
   * @param {ChatOptions} options
   * @param {Texts} t
   */
  constructor(root, client, options, t) {
    this.root = root;
    this.client = client;
    this.options = options;
    this.t = t;
    this.#alert = new Alert(this);
    this.#header = new Header(this);
    this.#messages = new Messages(this);
    this.#composer = new Composer(this);
    this.#composer.root.prepend(this.#messages.toLatest, this.#alert.root);
    root.append(this.#header.root, this.#messages.root, this.#composer.root, this.#announcer);
    this.#messages.replaceTurns();
    this.draw();
  }

  /** "Ask about" the person, or the title that the owner chose. */
  get title() {
    const name = this.client.session?.resume?.name?.trim();
    return this.options.title || (name ? this.t("page.title", { name }) : this.t("title.unnamed"));
  }

  /** @param {HTMLElement} node */
  drawMonogram(node) {
    drawMonogram(node, this.client.session?.resume?.name?.trim() ?? "", this.options.avatar);
  }

  /** Draws everything but the turns. */
  draw() {
    this.root.setAttribute("aria-label", this.title);
    this.#header.draw();
    this.#messages.drawFrame();
    this.tick();
    this.options.onTitle?.(this.title);
  }

  /** Draws what depends on the time, and draws it again each second during a countdown. */
  tick() {
    clearTimeout(this.#tickTimer);
    this.#header.drawConnection();
    this.#composer.draw();
    this.#messages.drawTurns();
    const next = Math.max(this.client.retryAt, this.blockedUntil) - Date.now();
    if (next > 0) this.#tickTimer = setTimeout(() => this.tick(), Math.min(next, 1_000) + 20);
  }

  /** Passes a text to screen readers. @param {string} text */
  announce = (text) => {
    if (text.trim()) this.#announcer.append(createElement("p", {}, text.replace(/[*`>#]+/g, "")));
  };

  /** Shows a message that is about no answer. @param {string} text */
  warn(text) {
    this.#alert.show(text);
  }

  /** Called when a turn may have become longer. */
  onResize() {
    this.#messages?.keepFollowing();
  }

  /** Asks a question. Returns false if that is not possible now. @param {string} question */
  ask(question) {
    if (Date.now() < this.blockedUntil || !this.client.ask(question)) return false;
    this.#beginAnswer();
    return true;
  }

  /** @param {Turn} turn */
  askAgain(turn) {
    if (this.client.busy || Date.now() < this.blockedUntil) return;
    this.client.askAgain(turn);
    this.#beginAnswer();
    this.focusComposer();
  }

  startOver() {
    this.#clear();
    this.client.startOver();
    this.announce(this.t("messages.new"));
    this.focus();
  }

  focus() {
    this.#composer.focus();
  }

  focusMessages() {
    this.#messages.focus();
  }

  /** Focuses the question, except on touch screens, where the keyboard would cover the answer. */
  focusComposer() {
    if (matchMedia("(hover: hover) and (pointer: fine)").matches) this.focus();
  }

  /** @param {boolean} visible whether the visitor sees the chat */
  setVisible(visible) {
    this.#visible = visible;
    if (!visible) return;
    this.#messages.keepFollowing();
    if (this.#unread === 0) return;
    this.#unread = 0;
    this.options.onUnread?.(0, "");
  }

  destroy() {
    clearTimeout(this.#tickTimer);
    this.#messages.destroy();
  }

  // The events of the client.

  /** @param {CustomEvent} event */
  onEvent({ type, detail }) {
    switch (type) {
      case "state":
        return this.#onState();
      case "session":
      case "conversations":
        return this.draw();
      case "transcript":
        this.#messages.replaceTurns();
        return this.draw();
      case "turn":
        return this.#onTurn(detail);
      case "notice":
        return this.#onNotice(detail);
      case "lost":
        return this.#messages.viewOf(detail.turn).drawSoon();
      case "ended":
        return this.#messages.addRemark(this.t("messages.ended"));
      case "forgotten":
        this.#clear();
        this.announce(this.t("messages.deleted"));
        return this.focus();
      case "error":
        return void this.#onError(detail);
    }
  }

  /** @param {Frame} error */
  async #onError(error) {
    await loadText(this.t, `error.${error.code}`);
    this.warn(errorText(this.t, error));
  }

  #onState() {
    const { state } = this.client;
    if (state === "open" && this.#disconnected) this.announce(this.t("status.open"));
    if (state === "open") this.#disconnected = false;
    else if (state !== "connecting") this.#disconnected = true;
    this.tick();
  }

  /** @param {{turn: Turn, change: string}} detail */
  #onTurn({ turn, change }) {
    if (change === "added") {
      this.#messages.add(turn);
      return this.draw();
    }
    this.#messages.viewOf(turn).drawSoon();
    if (change === "delta") return;
    if (change === "thinking") this.announce(this.t("turn.thinking"));
    if (change === "done") this.#onDone(turn);
    this.#composer.draw();
  }

  /** @param {Turn} turn */
  #onDone({ error }) {
    if (!this.#visible) {
      this.#unread += 1;
      this.options.onUnread?.(this.#unread, this.t("messages.unread", { count: this.#unread }));
    }
    if (!error?.retryAt || error.retryAt <= this.blockedUntil) return;
    this.blockedUntil = error.retryAt;
    this.tick();
  }

  /** @param {Frame} frame */
  #onNotice(frame) {
    const turn = this.client.turns.findLast(({ turnId, status }) => turnId && isUnfinished(status));
    if (turn) void this.#messages.viewOf(turn).addNotice(frame);
    // The header says who answers from now on.
    this.#header.drawConnection();
  }

  #beginAnswer() {
    this.#announcer.replaceChildren();
    this.#alert.hide();
    this.#messages.scrollToEnd();
  }

  #clear() {
    this.#announcer.replaceChildren();
    this.#alert.hide();
    this.#messages.clear();
  }
}

/** The list of turns, which scrolls with the newest answer. */

import { createButton, createElement, createIcon } from "./dom.js";
import { TurnView } from "./turn-view.js";
import { Welcome } from "./welcome.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./chat-view.js").ChatView} ChatView */

/** Within this distance of the end, the list scrolls with the answer. */
const AT_END_PX = 48;

export class Messages {
  root;
  toLatest;
  #chat;
  #welcome;
  #earlier;
  #turns = createElement("ol", { className: "turns", part: "turns" });
  /** @type {Map<Turn, TurnView>} */
  #views = new Map();
  /** Whether the list scrolls with the answer. */
  #following = true;
  #resizeObserver = new ResizeObserver(() => this.keepFollowing());

  /** @param {ChatView} chat */
  constructor(chat) {
    const { t, client } = chat;
    this.#chat = chat;
    this.#welcome = new Welcome(chat);
    const loadEarlier = () => {
      this.#following = false;
      this.focus();
      client.loadEarlier();
    };
    this.#earlier = createButton({ className: "pill earlier", part: "earlier", hidden: true, click: loadEarlier }, t("messages.earlier"));
    const scrollToEnd = () => {
      this.scrollToEnd();
      chat.focusComposer();
    };
    this.toLatest = createButton({ className: "pill to-latest", part: "to-latest", hidden: true, click: scrollToEnd }, createIcon("down"), t("messages.latest"));
    const column = createElement("div", { className: "column" }, this.#welcome.root, this.#earlier, this.#turns);
    this.root = createElement("div", { className: "scroller", part: "messages", role: "region", tabIndex: 0, "aria-label": t("messages.label") }, column);
    this.root.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    // A rotated window or an on-screen keyboard moves the end too.
    this.#resizeObserver.observe(column);
    this.#resizeObserver.observe(this.root);
  }

  focus() {
    this.root.focus({ preventScroll: true });
  }

  /** Draws what surrounds the turns. */
  drawFrame() {
    const { client } = this.#chat;
    const empty = client.turns.length === 0;
    this.#welcome.root.hidden = !empty;
    this.#earlier.hidden = empty || !client.hasEarlier;
    this.#welcome.draw();
  }

  /** Draws all turns again, for example when time has passed. */
  drawTurns() {
    for (const view of this.#views.values()) view.draw();
  }

  /** Draws the turns after they were replaced or reordered. */
  replaceTurns() {
    const { turns } = this.#chat.client;
    const remarks = [...this.#turns.querySelectorAll(".line")].map((remark) => /** @type {const} */ ([remark.previousSibling, remark]));
    for (const turn of this.#views.keys()) if (!turns.includes(turn)) this.#views.delete(turn);
    this.#turns.replaceChildren(...turns.map((turn) => this.viewOf(turn).root));
    // A remark stays after its turn, if the turn is still shown.
    for (const [previous, remark] of remarks) {
      if (previous instanceof HTMLElement && previous.parentNode === this.#turns) previous.after(remark);
    }
    this.drawTurns();
    this.drawFrame();
  }

  /** @param {Turn} turn */
  add(turn) {
    this.drawTurns();
    this.#turns.append(this.viewOf(turn).root);
    this.drawFrame();
    this.keepFollowing();
  }

  /** @param {Turn} turn */
  viewOf(turn) {
    let view = this.#views.get(turn);
    if (!view) {
      view = new TurnView(turn, this.#chat);
      this.#views.set(turn, view);
    }
    return view;
  }

  /**
   * Adds a remark about the session that has begun, after the turns of the one before.
   * @param {string} text
   */
  addRemark(text) {
    const first = this.#chat.client.turns.find((turn) => !turn.past);
    const next = first && this.#views.get(first)?.root;
    this.#turns.insertBefore(createElement("li", { className: "line" }, text), next?.parentNode ? next : null);
    this.#chat.announce(text);
    this.keepFollowing();
  }

  /** Removes all turns and remarks. */
  clear() {
    this.#turns.replaceChildren();
  }

  keepFollowing() {
    // The first view begins with the greeting.
    if (this.#following && this.#chat.client.turns.length > 0) this.root.scrollTop = this.root.scrollHeight;
  }

  scrollToEnd() {
    this.#following = true;
    this.toLatest.hidden = true;
    this.keepFollowing();
  }

  destroy() {
    this.#resizeObserver.disconnect();
  }

  #onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.root;
    this.#following = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    this.toLatest.hidden = this.#following;
  }
}

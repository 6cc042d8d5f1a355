/** The element `<resume-chat>`: a bubble that opens the chat, or the chat in the page. */

import texts from "./texts.json" with { type: "json" };
import styles from "./widget.css" with { type: "text" };
import { chooseLanguage, directionOf } from "../ui/i18n.js";
import { addStyles } from "../ui/styles.js";
import { LoadError, loadChat } from "./loader.js";
import { OpenState } from "./memory.js";
import { buildNodes } from "./nodes.js";
import { ATTRIBUTES, MODES, POSITIONS, chatOptions, choice, isChatOption, serverOf } from "./options.js";
import { Presenter, isSmallScreen, raise } from "./presenter.js";
import { accentProperties, observeTheme, themeOf } from "./theme.js";

/** From this number on, the badge shows one less and a plus sign. */
const MAX_BADGE = 10;

export class ResumeChat extends HTMLElement {
  static observedAttributes = ATTRIBUTES;

  #root = this.attachShadow({ mode: "open" });
  #memory = new OpenState("");
  /** @type {import("./nodes.js").Nodes | null} Exist while the element is in a document. */
  #nodes = null;
  /** @type {Presenter | null} */ #presenter = null;
  /** @type {any} What `mountChat` returned. */ #chat = null;
  /** @type {Promise<any> | null} */ #mounting = null;
  #hasChatStyles = false;
  #remountPlanned = false;
  #takesFocus = false;
  #unread = 0;
  #unreadLabel = "";
  /** The title of the chat, once it is known. */ #title = "";
  #language = "en";
  #texts = texts.en;
  #stopObserving = () => {};

  constructor() {
    super();
    addStyles(this.#root, styles);
  }

  /** Whether the panel is shown. */
  get isOpen() {
    return this.hasAttribute("open") || this.#isInline;
  }

  /** Shows the chat and moves the focus into it. */
  open() {
    this.#takesFocus = true;
    if (this.isOpen) this.#chat?.focus();
    else this.setAttribute("open", "");
  }

  close() {
    this.removeAttribute("open");
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  /**
   * Shows the chat and asks a question. Returns whether the chat could be loaded and accepted the
   * question; it does not while it answers another one.
   * @param {string} question
   */
  async ask(question) {
    this.open();
    const chat = await (this.#mounting ?? this.#mount());
    return Boolean(chat?.client.ask(question));
  }

  connectedCallback() {
    this.#build();
  }

  disconnectedCallback() {
    this.#dispose();
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (!this.#nodes || before === after) return;
    if (name === "mode") {
      this.#dispose();
      this.#build();
    } else if (name === "open") {
      this.#applyOpen();
    } else if (isChatOption(name)) {
      this.#remountSoon();
    }
    this.#draw();
  }

  get #isInline() {
    return choice(this, "mode", MODES) === "inline";
  }

  #build() {
    const nodes = buildNodes(choice(this, "mode", MODES));
    this.#nodes = nodes;
    this.#memory = new OpenState(serverOf(this));
    this.#presenter = new Presenter(nodes.panel, () => this.close());
    nodes.bubble.addEventListener("click", () => this.toggle());
    nodes.dismiss.addEventListener("click", () => this.close());
    nodes.retry.addEventListener("click", () => this.#mount());
    nodes.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing || this.#isInline) return;
      if (this.isOpen) event.preventDefault();
      this.close();
    });
    this.#root.append(nodes.root);
    // The page's own font size says nothing about the text in here.
    nodes.root.style.setProperty("--rem", getComputedStyle(nodes.root).fontSize);
    this.#stopObserving = observeTheme(() => this.#draw());
    this.#draw();
    if (this.#isInline) this.#mountWhenVisible(nodes.panel);
    else this.#restoreOpen(nodes.bubble);
  }

  #dispose() {
    this.#stopObserving();
    this.#presenter?.hide();
    this.#unmount();
    this.#nodes?.root.remove();
    this.#nodes = null;
  }

  /** Opens the panel as it was on the page before, except where it would cover the whole page. */
  #restoreOpen(/** @type {HTMLElement} */ bubble) {
    raise(bubble);
    const remembered = this.#memory.read();
    if (remembered !== null) this.toggleAttribute("open", remembered && !isSmallScreen());
    if (this.isOpen && this.#nodes?.bubble.ariaExpanded !== "true") this.#applyOpen();
  }

  /** @param {HTMLElement} panel */
  #mountWhenVisible(panel) {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (this.#nodes?.panel === panel) this.#mount();
    });
    observer.observe(panel);
  }

  #applyOpen() {
    const nodes = this.#nodes;
    if (!nodes || this.#isInline) return;
    const open = this.isOpen;
    const hadFocus = nodes.panel.contains(this.#root.activeElement);
    this.#memory.write(open);
    nodes.bubble.ariaExpanded = String(open);
    if (open) {
      this.#setUnread(0);
      this.#presenter?.show();
      if (this.#takesFocus && !this.#chat) nodes.panel.focus({ preventScroll: true });
      this.#showChat();
    } else {
      this.#presenter?.hide();
      this.#chat?.setVisible(false);
      if (hadFocus) nodes.bubble.focus({ preventScroll: true });
    }
    this.#draw();
    this.#emit(open ? "open" : "close");
  }

  async #showChat() {
    const chat = this.#chat ?? (await (this.#mounting ?? this.#mount()));
    if (!chat || chat !== this.#chat) return;
    chat.setVisible(this.isOpen);
    if (this.isOpen && this.#takesFocus) chat.focus();
    this.#takesFocus = false;
  }

  /** Loads and shows the chat. Returns `null` if it cannot be loaded. @returns {Promise<any>} */
  #mount() {
    const nodes = this.#nodes;
    if (!nodes) return Promise.resolve(null);
    const mounting = this.#loadInto(nodes).catch((error) => {
      if (this.#nodes === nodes) this.#fail(error);
      return null;
    });
    this.#mounting = mounting;
    this.#drawStatus("loading");
    mounting.then((chat) => {
      if (this.#mounting !== mounting) chat?.destroy();
      else if (chat) this.#onMounted(chat);
      else this.#mounting = null;
    });
    return mounting;
  }

  /** @param {import("./nodes.js").Nodes} nodes */
  async #loadInto(nodes) {
    const { mountChat, styles: chatStyles } = await loadChat(this.#language);
    if (this.#nodes !== nodes) return null;
    if (!this.#hasChatStyles) addStyles(this.#root, chatStyles);
    this.#hasChatStyles = true;
    return mountChat(nodes.stage, {
      ...chatOptions(this),
      theme: themeOf(this),
      embedded: true,
      onClose: this.#isInline ? undefined : () => this.close(),
      onTitle: (/** @type {string} */ title) => {
        this.#title = title;
        this.#draw();
      },
      onUnread: (/** @type {number} */ count, /** @type {string} */ label) => this.#setUnread(count, label),
    });
  }

  /** @param {any} chat */
  #onMounted(chat) {
    this.#chat = chat;
    this.#drawStatus("ready");
    this.#draw();
    chat.setVisible(this.isOpen);
  }

  #unmount() {
    this.#chat?.destroy();
    this.#chat = null;
    this.#mounting = null;
    this.#title = "";
    this.#nodes?.stage.replaceChildren();
  }

  /** Scripts often change several attributes at a time. */
  #remountSoon() {
    if (this.#remountPlanned || !this.#mounting) return;
    this.#remountPlanned = true;
    queueMicrotask(() => {
      this.#remountPlanned = false;
      if (!this.#mounting) return;
      this.#unmount();
      this.#mount();
    });
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#drawStatus("failed");
    const code = error instanceof LoadError ? error.code : "FAILED";
    console.error(`resume-chat: ${error instanceof Error ? error.message : error}`, error);
    this.#emit("error", { code });
  }

  /** @param {number} count @param {string} [label] says the number to screen readers */
  #setUnread(count, label = "") {
    const unread = this.isOpen ? 0 : count;
    if (unread === this.#unread) return;
    this.#unread = unread;
    this.#unreadLabel = label;
    this.#draw();
    this.#emit("unread", { count: unread });
  }

  /** @param {string} name @param {object} [detail] */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(`resume-chat:${name}`, { detail, bubbles: true, composed: true }));
  }

  /** @param {"loading" | "ready" | "failed"} state */
  #drawStatus(state) {
    const nodes = this.#nodes;
    if (!nodes) return;
    const { panel, status, statusText, retry } = nodes;
    status.dataset.state = state;
    panel.ariaBusy = String(state === "loading");
    statusText.textContent = state === "failed" ? this.#texts.failed : "";
    // The focus would be lost with the button.
    if (state === "loading" && this.#root.activeElement === retry) panel.focus({ preventScroll: true });
  }

  #draw() {
    if (!this.#nodes) return;
    const { root, bubble, badge, panel, retry, dismiss } = this.#nodes;
    this.#language = chooseLanguage(Object.keys(texts), this.getAttribute("language") ?? "auto");
    this.#texts = texts[/** @type {keyof typeof texts} */ (this.#language)];
    const label = this.isOpen ? this.#texts.close : this.#texts.open;
    root.lang = this.#language;
    root.dir = directionOf(this.#language);
    root.dataset.open = String(this.isOpen);
    root.dataset.side = sideOf(this);
    bubble.ariaLabel = this.#unread > 0 ? `${label}. ${this.#unreadLabel}` : label;
    bubble.ariaExpanded = String(this.isOpen);
    badge.textContent = this.#unread < MAX_BADGE ? String(this.#unread || "") : `${MAX_BADGE - 1}+`;
    panel.ariaLabel = this.#title || this.getAttribute("chat-title")?.trim() || this.#texts.chat;
    retry.textContent = this.#texts.retry;
    dismiss.ariaLabel = this.#texts.close;
    this.#drawTheme(root);
  }

  /** @param {HTMLElement} root */
  #drawTheme(root) {
    const theme = themeOf(this);
    root.dataset.theme = theme;
    for (const chat of root.querySelectorAll(".chat")) /** @type {HTMLElement} */ (chat).dataset.theme = theme;
    for (const [name, value] of Object.entries(accentProperties(this))) root.style.setProperty(name, value);
  }
}

/** The side of the window: in a page from right to left, `end` is left. @param {Element} element */
function sideOf(element) {
  const [, side] = choice(element, "position", POSITIONS).split("-");
  if (side === "left" || side === "right") return side;
  return (side === "end") === (getComputedStyle(element).direction === "rtl") ? "left" : "right";
}

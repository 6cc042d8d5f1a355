/** The field for the question, with its hints and the line about privacy. */

import { createElement, createIcon, setText } from "./dom.js";
import { loadText } from "./notices.js";
import { formatFuture } from "./times.js";

/** @typedef {import("./chat-view.js").ChatView} ChatView */

/** The number of remaining characters is shown from here on. */
const SHOW_CHARACTERS_BELOW = 200;
/** The number of remaining questions is shown from here on. */
const SHOW_QUESTIONS_BELOW = 3;

export class Composer {
  root;
  #chat;
  #question;
  #send;
  #privacy;
  #hint;

  /** @param {ChatView} chat */
  constructor(chat) {
    const { t } = chat;
    this.#chat = chat;
    this.#question = createElement("textarea", {
      id: "question",
      part: "input",
      rows: 1,
      dir: "auto",
      placeholder: t("composer.placeholder"),
      enterkeyhint: "send",
      autocomplete: "off",
      "aria-describedby": "question-hint question-privacy",
      input: () => this.#onInput(),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
    });
    this.#send = createElement("button", { type: "submit", className: "send", part: "send" }, createIcon("send"), createIcon("stop"));
    this.#privacy = createElement("span", { id: "question-privacy", className: "privacy", part: "privacy" });
    this.#hint = createElement("span", { id: "question-hint", className: "hint", part: "hint", "aria-live": "polite" });
    const label = createElement("label", { className: "visually-hidden", htmlFor: "question" }, t("composer.label"));
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      if (chat.client.busy) chat.client.cancel();
      else this.#submit();
      chat.focusComposer();
    };
    const form = createElement("form", { className: "box", submit }, label, this.#question, this.#send);
    this.root = createElement("div", { className: "composer", part: "composer" }, form, createElement("p", { className: "below" }, this.#privacy, this.#hint));
  }

  focus() {
    this.#question.focus({ preventScroll: true });
  }

  draw() {
    const { client, t, blockedUntil } = this.#chat;
    const { busy, session } = client;
    const text = this.#question.value.trim();
    const limit = session?.limits?.max_question_chars ?? Infinity;
    // The server counts Unicode code points, not UTF-16 code units.
    const characters = text.length * 2 < limit ? Infinity : limit - [...text].length;
    const blocked = blockedUntil > Date.now();
    const action = busy ? "stop" : "send";
    this.#send.dataset.action = action;
    this.#send.setAttribute("aria-label", t(`composer.${action}`));
    this.#send.title = t(`composer.${action}`);
    this.#send.disabled = !busy && (text === "" || characters < 0 || blocked);
    this.#hint.dataset.kind = characters < 0 ? "over" : "";
    // Otherwise screen readers would read each second of the countdown.
    this.#hint.setAttribute("aria-live", blocked ? "off" : "polite");
    setText(this.#hint, this.#hintText(characters));
    this.#drawPrivacy();
  }

  /** @param {number} characters the number of remaining characters */
  #hintText(characters) {
    const { client, t, blockedUntil } = this.#chat;
    if (blockedUntil > Date.now()) return t("composer.blocked", { when: formatFuture(t, blockedUntil) });
    if (characters < 0) return this.#countText("composer.charactersOver", -characters);
    if (characters <= SHOW_CHARACTERS_BELOW) return this.#countText("composer.charactersLeft", characters);
    const questions = client.session?.limits?.remaining ?? Infinity;
    if (questions === 0) return this.#countText("composer.noQuestionsLeft", 0);
    return questions <= SHOW_QUESTIONS_BELOW ? this.#countText("composer.questionsLeft", questions) : "";
  }

  /** Returns nothing until the text is loaded. @param {string} key @param {number} count */
  #countText(key, count) {
    const { t } = this.#chat;
    void loadText(t, key)?.then(() => this.draw());
    return t.has(key) ? t(key, { count }) : "";
  }

  #drawPrivacy() {
    const { client, t, options } = this.#chat;
    if (!client.session) return;
    const { privacy } = client.session;
    const days = privacy?.retention_days;
    const text = days ? t("privacy.storedFor", { count: days }) : t("privacy.stored");
    const address = options.privacyUrl || privacy?.url;
    if (this.#privacy.dataset.shown === text + address) return;
    this.#privacy.dataset.shown = text + address;
    const link = address ? createElement("a", { href: address, target: "_blank", rel: "noopener", part: "privacy-link" }, t("privacy.link")) : "";
    this.#privacy.replaceChildren(text, " ", link);
  }

  #submit() {
    const text = this.#question.value.trim();
    const limit = this.#chat.client.session?.limits?.max_question_chars ?? Infinity;
    if (!text || [...text].length > limit || !this.#chat.ask(text)) return;
    this.#question.value = "";
    this.#onInput();
  }

  #onInput() {
    this.#question.style.height = "auto";
    this.#question.style.height = `${this.#question.scrollHeight}px`;
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    // In many languages Enter also completes the composition of a character.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.#chat.client.busy) this.#submit();
  }
}

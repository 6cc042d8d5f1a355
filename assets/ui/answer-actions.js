/** The row below an answer: who answered, copy, rate with a comment, answer again. */

import { copyText } from "./clipboard.js";
import { createButton, createElement, createIcon, createIconButton, setText } from "./dom.js";
import { isQuote } from "./notices.js";

/** @typedef {import("../client/turn.js").Turn} Turn */
/** @typedef {import("./chat-view.js").ChatView} ChatView */
/** @typedef {"up" | "down"} Rating */

const COPIED_MS = 2_000;

export class AnswerActions {
  root = createElement("div", { className: "below-answer" });
  #turn;
  #chat;
  #source = createElement("p", { className: "source" });
  /** @type {Record<Rating, HTMLButtonElement>} */
  #thumbs;
  #answerAgain;
  /** The place of the form. */
  #comment = createElement("div", { className: "comment" });

  /** @param {Turn} turn @param {ChatView} chat */
  constructor(turn, chat) {
    const { t } = chat;
    this.#turn = turn;
    this.#chat = chat;
    const copy = createIconButton(t("action.copy"), createIcon("copy"), { className: "copy", click: () => this.#copy(copy) });
    this.#thumbs = { up: this.#createThumb("up"), down: this.#createThumb("down") };
    this.#answerAgain = createButton({ click: () => chat.askAgain(turn) }, t("action.answerAgain"));
    const buttons = createElement("div", { className: "actions" }, copy, this.#thumbs.up, this.#thumbs.down, this.#answerAgain);
    this.root.append(this.#source, buttons, this.#comment);
  }

  /** @param {boolean} unfinished @param {boolean} askable whether the question can be asked again */
  draw(unfinished, askable) {
    const { turnId, past, answer, rating, mode, model } = this.#turn;
    const { client, t } = this.#chat;
    this.root.hidden = unfinished || answer === "";
    const generated = model ? t("turn.generatedBy", { model }) : t("turn.generated");
    setText(this.#source, mode === "live" ? generated : isQuote(this.#turn) ? "" : t("turn.notFound"));
    for (const [name, thumb] of Object.entries(this.#thumbs)) {
      thumb.hidden = past || !turnId;
      thumb.setAttribute("aria-pressed", String(rating === name));
      thumb.disabled = client.state !== "open";
    }
    this.#answerAgain.hidden = !askable;
    this.#answerAgain.disabled = client.busy || Date.now() < this.#chat.blockedUntil;
  }

  /** @param {Rating} rating */
  #createThumb(rating) {
    const rate = () => {
      const removed = this.#turn.rating === rating;
      const sent = this.#chat.client.rate(this.#turn, removed ? null : rating);
      this.draw(false, !this.#answerAgain.hidden);
      if (sent) void this.#offerComment(removed ? null : rating);
    };
    return createIconButton(this.#chat.t(`action.${rating}`), createIcon("thumb"), { className: `thumb ${rating}`, click: rate });
  }

  /** Offers a comment on a rating; `null` withdraws the offer. @param {Rating | null} rating */
  async #offerComment(rating) {
    this.#comment.replaceChildren();
    this.#chat.onResize();
    if (!rating) return;
    try {
      const [{ showCommentForm }] = await Promise.all([import("./comment-form.js"), this.#chat.t.addMore()]);
      if (this.#turn.rating === rating) showCommentForm(this.#chat, this.#turn, rating, this.#comment, this.#thumbs[rating]);
    } catch {
      // The rating counts without a comment.
    }
  }

  /** @param {HTMLButtonElement} button */
  async #copy(button) {
    const { t } = this.#chat;
    const copied = await copyText(this.#turn.answer, button);
    if (!copied) return this.#chat.warn(t("action.copyFailed"));
    this.#chat.announce(t("action.copied"));
    button.replaceChildren(createIcon("check"), t("action.copied"));
    setTimeout(() => button.replaceChildren(createIcon("copy")), COPIED_MS);
  }
}
